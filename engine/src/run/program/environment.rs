//! The environment of a program: cleared, except for what says where things are on this machine.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The variables that every program gets.
const PASSED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// The beginnings of names of such variables.
const PASSED_STARTS: &[&str] = &["NVIDIA_", "SLURM_"];
/// The end of the names of proxies, in lower case.
const PROXY: &str = "_proxy";

/// The variables that are the same everywhere.
const FIXED: &[(&str, &str)] = &[
    ("LANG", "C.UTF-8"),
    ("TZ", "UTC"),
    ("PYTHONHASHSEED", "0"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONUNBUFFERED", "1"),
];

/// The variable that every process of a program has, by which those that a kill left are found.
pub(super) const WORK: &str = "PIPE_WORK";

/// The variables of a program, by name.
pub(super) type Environment = BTreeMap<OsString, OsString>;

/// Returns the environment of a program that works in `folder`: of `all`, the variables that every program gets and those in
/// `pass`, then the fixed ones, then those in `own`.
pub(super) fn environment(
    all: impl Iterator<Item = (OsString, OsString)>,
    pass: &[String],
    own: &BTreeMap<String, String>,
    folder: &Path,
) -> Environment {
    let is_passed = |name: &OsString| {
        let Some(name) = name.to_str() else { return false };
        PASSED.contains(&name)
            || PASSED_STARTS.iter().any(|start| name.starts_with(start))
            || name.to_lowercase().ends_with(PROXY)
            || pass.iter().any(|passed| passed == name)
    };
    let mut variables: Environment = all.filter(|(name, _)| is_passed(name)).collect();
    variables.extend(FIXED.iter().map(|(name, value)| (name.into(), value.into())));
    variables.insert("TMPDIR".into(), folder.join(pipe_stages::program::TMP).into());
    variables.extend(own.iter().map(|(name, value)| (name.into(), value.into())));
    variables.insert(WORK.into(), folder.into());
    variables
}

/// Returns the absolute path of the program that `word` names: one of the files in `folder` that `is_laid` knows, an absolute path, or
/// a name that is looked up in `path`.
///
/// # Errors
/// What was not found, and what to do.
pub(super) fn find(
    word: &str,
    folder: &Path,
    is_laid: impl Fn(&str) -> bool,
    path: Option<&OsString>,
) -> Result<PathBuf, (String, String)> {
    let own = word.strip_prefix("./").unwrap_or(word);
    let is_program =
        |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    let not_executable = |shown: &Path| {
        (
            format!("`{}` is not executable", shown.display()),
            format!("`chmod +x '{}'` makes it a program", shown.display()),
        )
    };
    if word.starts_with('/') {
        let found = PathBuf::from(word);
        return match found.exists() {
            true if is_program(&found) => Ok(found),
            true => Err(not_executable(&found)),
            false => Err((format!("there is no program `{word}`"), "install it, or name another".to_owned())),
        };
    }
    if word.contains('/') {
        return match is_laid(own) {
            true if is_program(&folder.join(own)) => Ok(folder.join(own)),
            true => Err(not_executable(Path::new(own))),
            false => Err((format!("the program `{word}` is not one of the files"), format!("add `{own}` to `files`"))),
        };
    }
    let folders = path.iter().flat_map(|path| env::split_paths(path)).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(word)).find(|found| is_program(found)).ok_or_else(|| {
        let hint = match is_laid(word) {
            true => format!("write `./{word}` for the file of this name"),
            false => "install it, or activate the environment that has it".to_owned(),
        };
        (format!("the program `{word}` is not found in `PATH`"), hint)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_gets_what_is_usual_and_what_it_asks_for() {
        let all = [
            "PATH",
            "HOME",
            "SLURM_JOB_ID",
            "https_proxy",
            "NO_PROXY",
            "LANG",
            "SECRET",
            "HF_TOKEN",
            "PYTHONPATH",
            "TZ",
        ];
        let all = all.iter().map(|name| (OsString::from(name), OsString::from("outer")));
        let own = BTreeMap::from([("SEED".to_owned(), "3".to_owned()), ("TZ".to_owned(), "CET".to_owned())]);
        let variables = environment(all, &["HF_TOKEN".to_owned(), "ABSENT".to_owned()], &own, Path::new("/w"));
        let text: Vec<_> =
            variables.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();
        let expected = [
            "HF_TOKEN=outer",
            "HOME=outer",
            "LANG=C.UTF-8",
            "NO_PROXY=outer",
            "PATH=outer",
            "PIPE_WORK=/w",
            "PYTHONDONTWRITEBYTECODE=1",
            "PYTHONHASHSEED=0",
            "PYTHONUNBUFFERED=1",
            "SEED=3",
            "SLURM_JOB_ID=outer",
            "TMPDIR=/w/tmp",
            "TZ=CET",
            "https_proxy=outer",
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn a_program_is_found_or_it_is_said_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("bin")).unwrap();
        for (name, mode) in [("bin/tool", 0o755), ("bin/data", 0o644), ("run.sh", 0o755), ("notes", 0o644)] {
            fs::write(at(name), "").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = OsString::from(format!("relative:{}", at("bin").display()));
        let find = |word: &str| find(word, folder.path(), |name| ["run.sh", "notes"].contains(&name), Some(&path));
        assert_eq!(find("tool").unwrap(), at("bin/tool"));
        assert_eq!(find("./run.sh").unwrap(), at("run.sh"));
        assert_eq!(find(at("run.sh").to_str().unwrap()).unwrap(), at("run.sh"));
        for (word, message, hint) in [
            (
                "data",
                "the program `data` is not found in `PATH`",
                "install it, or activate the environment that has it",
            ),
            ("run.sh", "the program `run.sh` is not found in `PATH`", "write `./run.sh` for the file of this name"),
            ("./notes", "`notes` is not executable", "`chmod +x 'notes'` makes it a program"),
            ("bin/tool", "the program `bin/tool` is not one of the files", "add `bin/tool` to `files`"),
            ("/nowhere/x", "there is no program `/nowhere/x`", "install it, or name another"),
        ] {
            assert_eq!(find(word).unwrap_err(), (message.to_owned(), hint.to_owned()));
        }
    }
}
