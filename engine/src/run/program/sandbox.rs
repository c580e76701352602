//! What a program may open, where the kernel has Landlock: the working folder, the system, and the interpreters that it may need.

use std::{
    env,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, path_beneath_rules,
};
use serde::{Deserialize, Serialize};

use crate::how::Sandbox;

/// What a program may read and execute, and what it may change as well. Whatever does not exist is passed over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rules {
    pub(super) read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
}

/// The rights that are restricted if the kernel knows them. Later ones restrict the use of devices that are open already.
const KNOWN: ABI = ABI::V4;
/// The oldest kernels that will do. Before, a restricted program could not move a file from one folder to another.
const OLDEST: ABI = ABI::V2;

/// The parts of the system that every program may read.
const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/bin",
    "/sbin",
    "/etc",
    "/proc",
    "/sys",
    "/dev",
    "/opt",
    "/nix",
    "/gnu",
    "/cvmfs",
    "/snap",
    "/var/lib",
    "/var/cache",
    // Where names of hosts are looked up.
    "/run/systemd/resolve",
    "/run/nscd",
];

/// The devices that every program may write to. Those of NVIDIA are added.
const DEVICES: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/pts", "/dev/shm"];

/// The folders below the home folder that interpreters and their libraries read.
const HOME_READ: &[&str] = &[".local", ".config", ".julia", "R", ".Rprofile", ".Renviron"];
/// Those that they also write to: downloaded models, compiled kernels.
const HOME_WRITE: &[&str] = &[".cache", ".nv", ".triton"];

impl Sandbox {
    /// Returns what is in force here: `Folder` or `Landlock`. `None` if it asks for what this kernel does not have.
    pub fn in_force(self) -> Option<Self> {
        match self {
            Self::Folder => Some(Self::Folder),
            Self::Auto if !is_supported() => Some(Self::Folder),
            Self::Landlock if !is_supported() => None,
            Self::Auto | Self::Landlock => Some(Self::Landlock),
        }
    }
}

/// Returns whether this kernel has what is needed of Landlock.
fn is_supported() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(OLDEST)).and_then(Ruleset::create).is_ok()
}

impl Rules {
    /// Returns the rules of a program that works in `folder`, is executed from `program` and has the variables `env`. Nothing of the
    /// folder `project` is in them, except for an environment of Python there.
    pub(super) fn new(
        folder: &Path,
        program: &Path,
        env: &dyn Fn(&str) -> Option<std::ffi::OsString>,
        project: Option<&Path>,
    ) -> Self {
        let mut rules = Self::default();
        let home = env("HOME").or_else(|| env::var_os("HOME")).map(PathBuf::from).filter(|home| home.is_absolute());
        let project = project.map(|project| fs::canonicalize(project).unwrap_or_else(|_| project.to_owned()));
        // A folder that has everything in it is no part of an interpreter.
        let is_too_much = |path: &Path| {
            let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let holds = |inner: &Path| inner.starts_with(&real) || inner.starts_with(path);
            path.parent().is_none()
                || real.parent().is_none()
                || home.as_deref().is_some_and(holds)
                || project.as_deref().is_some_and(holds)
        };
        rules.read.extend(SYSTEM.iter().map(PathBuf::from));
        rules.read.extend(entries("/run", "nvidia"));
        rules.write.extend(DEVICES.iter().map(PathBuf::from));
        rules.write.extend(entries("/dev", "nvidia"));
        rules.write.extend(["/dev/dri", "/dev/kfd"].map(PathBuf::from));
        for link in chain(program) {
            match prefix(&link).filter(|prefix| !is_too_much(prefix)) {
                Some(prefix) => rules.read.push(prefix),
                None => rules.read.push(link),
            }
        }
        for entry in ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|name| env(name)).map(PathBuf::from) {
            rules.read.extend(Some(entry).filter(|entry| entry.is_absolute() && !is_too_much(entry)));
        }
        for folder in list(env("PATH")) {
            let parent = prefix(&folder.join("program")).filter(|parent| !is_too_much(parent));
            rules.read.extend(parent.or_else(|| Some(folder).filter(|folder| !is_too_much(folder))));
        }
        rules.read.extend(list(env("LD_LIBRARY_PATH")).into_iter().filter(|folder| !is_too_much(folder)));
        if let Some(home) = &home {
            let below = |name: &&str| Some(home.join(name)).filter(|path| !is_too_much(path));
            rules.read.extend(HOME_READ.iter().filter_map(below));
            rules.write.extend(HOME_WRITE.iter().filter_map(below));
        }
        // The inputs are in it, too: rights add up. They are copies that no other execution sees, and their modes refuse to be written.
        rules.write.push(folder.to_owned());
        let is_text = |path: &PathBuf| path.to_str().is_some();
        rules.read.retain(is_text);
        rules.write.retain(is_text);
        rules.read.sort();
        rules.read.dedup();
        rules
    }

    /// Restricts this thread, and the program that it becomes, for ever.
    pub(super) fn apply(&self) -> io::Result<()> {
        let restricted = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))
            .and_then(Ruleset::create)
            .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(&self.read, AccessFs::from_read(KNOWN))))
            .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(&self.write, AccessFs::from_all(KNOWN))))
            .and_then(|ruleset| ruleset.restrict_self());
        restricted.map(drop).map_err(io::Error::other)
    }
}

/// Returns the absolute paths in a list such as `PATH`.
fn list(value: Option<std::ffi::OsString>) -> Vec<PathBuf> {
    let paths = value.iter().flat_map(env::split_paths).collect::<Vec<_>>();
    paths.into_iter().filter(|path| path.is_absolute()).collect()
}

/// Returns the entries of a folder whose names start with `start`.
fn entries(folder: &str, start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(start.as_bytes())))
        .collect()
}

/// Returns a path and what it leads to, link by link.
fn chain(path: &Path) -> Vec<PathBuf> {
    let mut chain = vec![path.to_owned()];
    while let Some(last) = chain.last()
        && chain.len() < 40
        && let Ok(target) = fs::read_link(last)
    {
        let target = last.parent().unwrap_or(Path::new("/")).join(target);
        chain.push(target);
    }
    chain.extend(fs::canonicalize(path));
    chain
}

/// Returns the folder that a program is installed in: `/opt/python` for `/opt/python/bin/python`.
fn prefix(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let is_bin = ["bin", "sbin", "shims", "condabin"].iter().any(|name| folder.file_name() == Some(OsStr::new(name)));
    is_bin.then(|| folder.parent().map(Path::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_rules_have_the_interpreter_and_nothing_that_holds_the_project() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["home/versions/3/bin", "home/project/.venv/bin", "home/project/bin", "home/bin", "work"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("home/versions/3/bin/python3"), "").unwrap();
        symlink("python3", at("home/versions/3/bin/python")).unwrap();
        symlink(at("home/versions/3/bin/python"), at("home/project/.venv/bin/python")).unwrap();
        let env = |name: &str| match name {
            "HOME" => Some(at("home").into()),
            "PATH" => {
                env::join_paths([at("home/project/.venv/bin"), at("home/project/bin"), at("home/bin"), "x".into()]).ok()
            }
            "VIRTUAL_ENV" => Some(at("home/project/.venv").into()),
            _ => None,
        };
        let program = at("home/project/.venv/bin/python");
        let rules = Rules::new(&at("work"), &program, &env, Some(&at("home/project")));
        for path in ["home/versions/3", "home/project/.venv", "home/project/bin", "home/bin", "home/.local"] {
            assert!(rules.read.contains(&at(path)), "{path}");
        }
        for path in ["home", "home/project", "home/versions", ""] {
            assert!(!rules.read.contains(&at(path)) && !rules.write.contains(&at(path)), "{path}");
        }
        assert!(rules.write.contains(&at("work")) && rules.write.contains(&at("home/.cache")));
    }

    #[test]
    fn what_is_asked_for_is_in_force_or_refused() {
        assert_eq!(Sandbox::Folder.in_force(), Some(Sandbox::Folder));
        let expected = if is_supported() { Some(Sandbox::Landlock) } else { None };
        assert_eq!(Sandbox::Landlock.in_force(), expected);
        assert_eq!(Sandbox::Auto.in_force(), Some(expected.unwrap_or(Sandbox::Folder)));
    }
}
