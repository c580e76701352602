//! What a user can do about a program that failed because it missed a file: the file that its last lines name.

use std::path::{Component, Path, PathBuf};

use pipe_stages::program::Program;

/// Returns what to do about a program that failed with these last lines. `project` has the files that it may miss, and `is_refused`
/// says whether it is kept from reading others.
pub(super) fn hint(
    lines: &[String],
    program: &Program,
    folder: &Path,
    project: Option<&Path>,
    is_refused: bool,
) -> Option<String> {
    let candidates = || lines.iter().rev().flat_map(|line| candidates(line).into_iter().map(move |path| (line, path)));
    if let Some(project) = project {
        let modules = || lines.iter().rev().filter_map(|line| module(line)).flatten();
        let named = || candidates().map(|(_, path)| path.to_owned()).chain(modules());
        let missed = named().find_map(|path| in_project(&path, project, folder));
        let missed = missed.filter(|path| !is_laid(program, path));
        if let Some(path) = missed {
            return Some(format!("`{path}` is in the project and not in `files`: add it there"));
        }
    }
    let refused = |(line, path): (&String, &str)| {
        let is_outside = Path::new(path).is_absolute() && !Path::new(path).starts_with(folder);
        let is_refusal = line.contains("ermission denied") || line.contains("EACCES");
        (is_outside && is_refusal && Path::new(path).exists()).then(|| path.to_owned())
    };
    let path = candidates().filter(|_| is_refused).find_map(refused)?;
    Some(format!("`{path}` is not declared: let a `Fetch` read it, or set `sandbox: Folder`"))
}

/// Returns the words of a line that may be paths: what stands in quotes, and what stands between spaces.
fn candidates(line: &str) -> Vec<&str> {
    let quoted = ['\'', '"', '`'].into_iter().flat_map(|quote| line.split(quote).skip(1).step_by(2));
    let words =
        line.split_whitespace().flat_map(|word| word.split([':', '=', '(', ')', ',', '\'', '"', '`', '‘', '’']));
    quoted.chain(words).filter(|word| !word.is_empty() && word.len() < 4096 && *word != "." && *word != "..").collect()
}

/// Returns the paths at which a module may lie that Python says it has not found.
fn module(line: &str) -> Option<[String; 2]> {
    let name = line.split_once("No module named '")?.1.split('\'').next()?.replace('.', "/");
    Some([format!("{name}.py"), format!("{name}/__init__.py")])
}

/// Returns the path in the project that `path` names, if it is there and is a file or folder below it.
fn in_project(path: &str, project: &Path, folder: &Path) -> Option<String> {
    let path = Path::new(path.strip_prefix("./").unwrap_or(path));
    // A word that is in the working folder as well was not missed.
    let (relative, is_absolute): (PathBuf, bool) = match path.is_absolute() {
        true if path.starts_with(folder) => (path.strip_prefix(folder).ok()?.to_owned(), false),
        true => (path.strip_prefix(project).ok()?.to_owned(), true),
        false => (path.to_owned(), false),
    };
    let is_plain = relative.components().next().is_some()
        && relative.components().all(|part| matches!(part, Component::Normal(_)));
    let is_missed = is_plain && project.join(&relative).exists() && (is_absolute || !folder.join(&relative).exists());
    // `train` may be any word.
    let is_plain_word = !is_absolute && !path.to_str()?.contains(['/', '.']);
    // What is in the store is no file of the project.
    let is_ours = folder.starts_with(project.join(relative.components().next()?));
    (is_missed && !is_ours && !is_plain_word).then(|| relative.to_str().map(str::to_owned)).flatten()
}

/// Returns whether the program has the file already, or a file below it.
fn is_laid(program: &Program, path: &str) -> bool {
    program.files.keys().any(|file| file == path || file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use pipe_stages::program::Placed;

    use super::*;

    #[test]
    fn a_file_of_the_project_that_was_missed_is_named() {
        let project = tempfile::tempdir().unwrap();
        let at = |path: &str| project.path().join(path);
        let folder = at(".pipe/work/key");
        for path in [
            "data/labels.csv",
            "has a space/x.txt",
            "net.py",
            "parts/__init__.py",
            "parts/one.py",
            "train.py",
            ".pipe/work/key/train.py",
            "train",
            "secret",
        ] {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), "").unwrap();
        }
        let files = BTreeMap::from([("train.py".to_owned(), Placed::Bytes(Vec::new()))]);
        let program = Program { files, ..Program::default() };
        let absolute = at("data/labels.csv").display().to_string();
        let check = |lines: &[&str], missed: Option<&str>| {
            let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
            let expected = missed.map(|path| format!("`{path}` is in the project and not in `files`: add it there"));
            assert_eq!(hint(&lines, &program, &folder, Some(project.path()), false), expected, "{lines:?}");
        };
        check(&["FileNotFoundError: [Errno 2] No such file or directory: 'data/labels.csv'"], Some("data/labels.csv"));
        check(
            &[&format!("PermissionError: [Errno 13] Permission denied: '{absolute}'"), "later"],
            Some("data/labels.csv"),
        );
        check(&["cat: ./data/labels.csv: No such file or directory"], Some("data/labels.csv"));
        check(&["cannot open \"has a space/x.txt\""], Some("has a space/x.txt"));
        check(&[&format!("no {}/data/labels.csv", folder.display())], Some("data/labels.csv"));
        check(&["File \"train.py\", line 3, in <module>", "ValueError: nothing"], None);
        check(&["    from net import Net", "ModuleNotFoundError: No module named 'net'"], Some("net.py"));
        check(&["ModuleNotFoundError: No module named 'parts'"], Some("parts/__init__.py"));
        check(&["ModuleNotFoundError: No module named 'parts.one'"], Some("parts/one.py"));
        check(&["ModuleNotFoundError: No module named 'torch'"], None);
        check(&["nowhere/labels.csv is missing"], None);
        check(&[&format!("{}/x failed", at(".pipe").display())], None);
        check(&["the loss of train is nan", "secret"], None);
        check(&[], None);
    }

    #[test]
    fn what_the_sandbox_refuses_is_named() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let path = outside.path().display().to_string();
        let line = vec![format!("cat: {path}: Permission denied")];
        let hint = |refused| hint(&line, &Program::default(), Path::new("/w"), None, refused);
        assert_eq!(
            hint(true),
            Some(format!("`{path}` is not declared: let a `Fetch` read it, or set `sandbox: Folder`"))
        );
        assert_eq!(hint(false), None);
    }
}
