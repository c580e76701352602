//! Checks the layers of the workspace: packages in a line, three storeys in `stages`, an import never goes up, and files do
//! not import each other in circles.

#![expect(clippy::disallowed_methods, reason = "the test reads sources, not inputs of a stage")]

mod imports;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use imports::Package;

/// The packages from the ground up, with their folders.
const PACKAGES: [(&str, &str); 6] = [
    ("pipe-store", "store"),
    ("pipe-stages", "stages"),
    ("pipe-engine", "engine"),
    ("pipe-views", "views"),
    ("pipe-remote", "remote"),
    ("pipe", ""),
];

/// The modules of `stages` that all others may use.
const GROUND: [&str; 10] =
    ["device", "panics", "params", "philox", "problem", "program", "records", "stage", "tensors", "words"];

/// Libraries, which do not know of stages. All other modules of `stages` are stages, except for the roof.
const LIBRARIES: [&str; 5] = ["containers", "images", "network", "pictures", "search"];

/// The modules that know all stages.
const ROOF: [&str; 2] = ["lib", "registry"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("`stages` lies in the workspace").to_owned()
}

/// Returns the storey of a file of `stages`.
fn storey(file: &str) -> usize {
    let module = file.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    match module {
        module if GROUND.contains(&module) => 0,
        module if LIBRARIES.contains(&module) => 1,
        module if ROOF.contains(&module) => 3,
        _ => 2,
    }
}

/// Returns the imports of `stages` that go up, as text.
fn upward(package: &Package) -> Vec<String> {
    let uses = package.uses().into_iter();
    uses.filter(|(from, to)| storey(to) > storey(from)).map(|(from, to)| format!("{from} uses {to}")).collect()
}

#[test]
fn no_import_of_stages_goes_up() {
    let package = Package::read(&workspace().join("stages/src"));
    assert!(package.uses().len() > 100, "the sources were read");
    assert_eq!(upward(&package), [""; 0]);
}

#[test]
fn files_do_not_use_each_other_in_circles() {
    let folders = PACKAGES.map(|(_, folder)| folder);
    for folder in folders {
        let circles = Package::read(&workspace().join(folder).join("src")).circles();
        assert!(circles.is_empty(), "in `{folder}`: {circles:#?}");
    }
}

#[test]
fn packages_depend_only_on_those_below() {
    for (i, (name, folder)) in PACKAGES.iter().enumerate() {
        let manifest = std::fs::read_to_string(workspace().join(folder).join("Cargo.toml")).expect("a manifest");
        assert!(manifest.contains(&format!("\nname = \"{name}\"\n")), "{name}");
        let mut section = "";
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            }
            let is_dependency = section.contains("dependencies") && !section.contains("workspace");
            let text = line.trim_start_matches(['[', '"']).rsplit("dependencies.").next().unwrap_or_default();
            let above = PACKAGES[i..].iter().any(|(above, _)| {
                let rest = text.strip_prefix(above);
                rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
            });
            assert!(!(is_dependency && above), "`{name}` depends on a package that is not below it: {line}");
        }
    }
}

fn package(files: &[(&str, &str)]) -> Package {
    let files: BTreeMap<_, _> = files.iter().copied().collect();
    Package::from_sources("lib.rs", &|file| files.get(file).map(|text| (*text).to_owned()))
}

#[test]
fn every_form_of_an_import_that_goes_up_is_found() {
    let up = |philox: &str| {
        let files = [
            ("lib.rs", "pub mod philox; pub mod network; pub use network::Network;"),
            ("philox.rs", philox),
            ("network/mod.rs", "mod compute; pub use compute::Network; pub fn f() {}"),
            ("network/compute.rs", "pub struct Network;"),
        ];
        upward(&package(&files))
    };
    for (philox, to) in [
        ("use crate::network::Network;", "network/compute.rs"),
        ("use crate::Network as Other;", "network/compute.rs"),
        ("use super::{network::{self}};", "network/mod.rs"),
        ("fn g() { crate::network::f() }", "network/mod.rs"),
        ("fn g() { use crate::network::f; f() }", "network/mod.rs"),
        ("fn g() { println!(\"{:?}\", vec![crate::network::f()]) }", "network/mod.rs"),
        ("struct A(Vec<super::network::Network>);", "network/compute.rs"),
        ("struct A { #[serde(default = \"crate::network::f\")] b: u8 }", "network/mod.rs"),
    ] {
        assert_eq!(up(philox), [format!("philox.rs uses {to}")], "{philox}");
    }
    for fine in
        ["#[cfg(test)] mod tests { use crate::network::f; }", "#[cfg(test)] use crate::network::f;", "use std::fmt;"]
    {
        assert_eq!(up(fine), [""; 0], "{fine}");
    }
}

#[test]
fn circles_are_found_through_other_files_and_re_exports_make_none() {
    let circles = |b: &str| {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; pub use a::A;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", b),
            ("c.rs", "use super::a::A; pub struct C;"),
        ];
        package(&files).circles()
    };
    assert_eq!(circles("use crate::c::C; pub struct B;"), [["a.rs", "b.rs", "c.rs"].map(str::to_owned).into()]);
    assert_eq!(circles("use crate::A; pub struct B;"), [["a.rs", "b.rs"].map(str::to_owned).into()]);
    assert_eq!(circles("pub struct B;"), []);
}
