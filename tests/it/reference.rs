//! The tables in the documentation match the declarations. `BLESS=1` updates them.

use std::{fs, path::Path};

/// Returns the tables of all packages, each with the name of its region.
fn tables() -> Vec<(&'static str, String)> {
    [pipe_stages::reference::tables(), pipe_engine::reference::tables()].concat()
}

/// Returns `page` with every region between `<!-- begin generated: name -->` and `<!-- end generated -->` generated anew, and the
/// names of the regions.
fn generated(page: &str) -> (String, Vec<String>) {
    let (begin, end) = ("<!-- begin generated: ", "<!-- end generated -->");
    let tables = tables();
    let (mut text, mut names) = (String::new(), Vec::new());
    let mut rest = page;
    while let Some((before, region)) = rest.split_once(begin) {
        let (name, region) = region.split_once(" -->\n").expect("a region has a name");
        let (_, after) = region.split_once(end).expect("a region ends");
        let table = tables.iter().find(|(known, _)| *known == name);
        let (_, table) = table.unwrap_or_else(|| panic!("there is no table `{name}`"));
        text += &format!("{before}{begin}{name} -->\n{table}{end}");
        names.push(name.to_owned());
        rest = after;
    }
    (text + rest, names)
}

#[test]
fn generated_tables_match_the_declarations() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut shown = Vec::new();
    for page in fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().path()) {
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let written = fs::read_to_string(&page).unwrap();
        let (expected, names) = generated(&written);
        shown.extend(names);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&page, &expected).unwrap();
        } else {
            assert!(written == expected, "{}: a table is out of date; `BLESS=1` updates it", page.display());
        }
    }
    for (name, _) in tables() {
        assert!(shown.iter().any(|shown| shown == name), "no page shows the table `{name}`");
    }
}
