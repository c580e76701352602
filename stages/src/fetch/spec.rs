//! The parameters of `fetch` in the pipeline file. They are divided into the action, which has digests and sizes, and the places.

use std::{
    collections::{BTreeMap, BTreeSet},
    path,
    sync::Arc,
};

use pipe_store::KnownFile;
use serde::Serialize;
use serde_json::Value;

use super::{
    ARCHIVE, DiskError, Embedded, Expected, FetchAction, FolderContent, Look, Measured, Snapshot,
    folder::known_file,
    location::{Location, LocationError},
};
use crate::{
    choices, parameters,
    params::{Domain, Read},
    problem::{Path, Problem},
};

choices! {
    /// The parameters of `fetch` in the pipeline file.
    #[derive(Eq)]
    pub enum FetchSpec {
        /// Generated data. The output is called `archive`.
        Embedded(Embedded),
        /// One file. The output is called `archive`.
        Url(Remote),
        /// Several files. Each is an output with its name.
        Files(RemoteFiles),
        /// One file of this disk. The output is called `archive`.
        File(DiskPath),
        /// A folder of this disk, with everything in it. The output is `listing.json`.
        Folder(DiskPath),
    }
}

/// The path of a file or a folder of this disk, which is relative to the folder of the pipeline file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DiskPath(pub String);

impl Read for DiskPath {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let text = String::read(value, domain, at, problems)?;
        let problem = Problem::new(at, format!("found `{text}`"));
        if text.is_empty() || text.contains('\0') {
            problems.push(problem.expected("a path"));
        } else if text.contains("://") {
            problems.push(problem.expected("a path of this disk").help("a file elsewhere is `Url(url: \"..\")`"));
        }
        Some(Self(text))
    }

    fn expected(_: &Domain) -> String {
        "a path of this disk, relative to the folder of the pipeline file".to_owned()
    }

    fn brief(_: &Domain) -> String {
        "a path".to_owned()
    }

    fn inside() -> String {
        "\"..\"".to_owned()
    }
}

parameters! {
    /// A file to fetch.
    #[derive(Eq)]
    pub struct Remote where has_a_place_and_a_digest {
        /// The URL: `https://..`, `http://..` or `file://..`.
        url: String,
        /// The size in bytes. If it is left out, `pipe run` prints it, and the digest, to be pasted.
        size: Option<u64>,
        /// The SHA-256 digest, 64 hexadecimal digits. One of the two digests is enough.
        sha256: Option<String>,
        /// The BLAKE3 digest, 64 hexadecimal digits. One of the two digests is enough.
        blake3: Option<String>,
    }
}

parameters! {
    /// A file to fetch, and the name of its output.
    #[derive(Eq)]
    pub struct NamedRemote where has_a_plain_name {
        /// The name: letters, digits, `-`, `_` and `.`, but it must not start with `.`.
        name: String,
        /// The URL: `https://..`, `http://..` or `file://..`. Either it or `file` is required.
        url: Option<String>,
        /// The path of a file of this disk, relative to the folder of the pipeline file.
        file: Option<DiskPath>,
        /// The size in bytes. A file of this disk needs neither size nor digest.
        size: Option<u64>,
        /// The SHA-256 digest, 64 hexadecimal digits. One of the two digests is enough.
        sha256: Option<String>,
        /// The BLAKE3 digest, 64 hexadecimal digits. One of the two digests is enough.
        blake3: Option<String>,
    }
}

/// One or more files with different names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RemoteFiles(pub Vec<NamedRemote>);

impl Read for RemoteFiles {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let files = Vec::<NamedRemote>::read(value, domain, at, problems)?;
        if files.is_empty() {
            problems.push(Problem::new(at, "found no file").expected("one or more"));
        }
        let mut seen = BTreeSet::new();
        for (i, file) in files.iter().enumerate().filter(|(_, file)| !seen.insert(&file.name)) {
            let problem = Problem::new(at.index(i).name("name"), format!("found `{}` twice", file.name));
            problems.push(problem.expected("different names"));
        }
        Some(Self(files))
    }

    fn expected(domain: &Domain) -> String {
        Vec::<NamedRemote>::expected(domain)
    }
}

/// The sources of files, which are not part of the action's key.
#[derive(Debug, Clone, Default)]
pub struct FetchSources {
    /// The URL of each file that has one, by name.
    pub urls: BTreeMap<String, String>,
    /// The files of this disk, by name, once they are looked at.
    pub files: BTreeMap<String, KnownFile>,
    /// The folder, once it is looked at.
    pub folder: Option<Arc<Snapshot>>,
}

/// What surrounds a pipeline file while its sources are looked at.
pub struct Surroundings<'a> {
    /// The folder of the pipeline file.
    pub base: &'a path::Path,
    /// How files and folders are looked at.
    pub look: Look<'a>,
    /// Finds the size and the digest of the file at a URL. If they are not known and there is no way to find them, that is a problem.
    pub measure: Option<&'a Measure<'a>>,
}

/// Finds the size and the digest of the file at a URL, or says why they cannot be found.
pub type Measure<'a> = dyn Fn(&str) -> Result<Measured, String> + 'a;

impl FetchSpec {
    /// Returns the action and the sources of its files, as far as the pipeline file says what they are. A file or a folder of this
    /// disk is not looked at.
    pub fn divide(&self) -> (FetchAction, FetchSources) {
        let files: Vec<(&str, Option<&String>, Expected)> = match self {
            Self::Embedded(embedded) => return (FetchAction::Embedded(embedded.clone()), FetchSources::default()),
            Self::Folder(_) => return (FetchAction::Folder(FolderContent::default()), FetchSources::default()),
            Self::File(_) => vec![(ARCHIVE, None, expected(ARCHIVE, None, &None, &None))],
            Self::Url(Remote { url, size, sha256, blake3 }) => {
                vec![(ARCHIVE, Some(url), expected(ARCHIVE, *size, sha256, blake3))]
            }
            Self::Files(files) => {
                let files = files.0.iter();
                let file = files.map(|NamedRemote { name, url, size, sha256, blake3, .. }| {
                    (name.as_str(), url.as_ref(), expected(name, *size, sha256, blake3))
                });
                file.collect()
            }
        };
        let urls = files.iter().filter_map(|(name, url, _)| Some(((*name).to_owned(), (*url)?.clone()))).collect();
        let mut expected: Vec<Expected> = files.into_iter().map(|(.., expected)| expected).collect();
        expected.sort_by(|a, b| a.name.cmp(&b.name));
        (FetchAction::Files(expected), FetchSources { urls, ..FetchSources::default() })
    }

    /// Returns the action and the sources of its files. Files and folders of this disk are read.
    ///
    /// # Errors
    /// The problems with what is written, such as a file that is not there.
    pub fn look_up(&self, around: &Surroundings<'_>) -> Result<(FetchAction, FetchSources), Vec<Problem>> {
        let (mut action, mut sources) = self.divide();
        let mut problems = Vec::new();
        match self {
            Self::Embedded(_) => {}
            Self::Url(file) => around.check_known(file, &Path::here().name("Url"), &mut problems),
            Self::Folder(path) => {
                let at = Path::here().name("Folder");
                match Snapshot::of(&around.base.join(&path.0), &around.look) {
                    Ok(snapshot) => {
                        action = FetchAction::Folder(FolderContent { listing: Some(snapshot.digest()) });
                        sources.folder = Some(Arc::new(snapshot));
                    }
                    Err(error) => problems.push(on_disk(&at, path, &error)),
                }
            }
            Self::File(path) => {
                around.file(path, &Path::here().name("File"), ARCHIVE, &mut sources, &mut problems);
            }
            Self::Files(files) => {
                for (i, file) in files.0.iter().enumerate() {
                    let at = Path::here().name("Files").index(i);
                    if let Some(path) = &file.file {
                        around.file(path, &at.name("file"), &file.name, &mut sources, &mut problems);
                    }
                    if let Some(remote) = file.remote() {
                        around.check_known(&remote, &at, &mut problems);
                    }
                }
            }
        }
        if let FetchAction::Files(files) = &mut action {
            for file in files {
                if let Some(known) = sources.files.get(&file.name) {
                    file.size = known.size;
                    file.blake3 = Some(known.digest.to_string());
                }
            }
        }
        if problems.is_empty() { Ok((action, sources)) } else { Err(problems) }
    }
}

impl Surroundings<'_> {
    /// Adds a problem if the size or the digest of a file is not written. It says what they are, if they can be found.
    fn check_known(&self, file: &Remote, at: &Path, problems: &mut Vec<Problem>) {
        let has_digest = file.sha256.is_some() || file.blake3.is_some();
        let unknown = match (file.size, has_digest) {
            (Some(_), true) => return,
            (None, true) => "the size of the file is",
            (Some(_), false) => "the digest of the file is",
            (None, false) => "the size and the digest of the file are",
        };
        let problem =
            Problem::new(at.name("url"), format!("{unknown} not written")).expected("`size` and `sha256` beside it");
        problems.push(match self.measure.map(|measure| measure(&file.url)) {
            None => problem.help(format!("`pipe digest '{}'` prints them, and `pipe run` does", file.url)),
            Some(Err(why)) => problem.help(format!("they cannot be found: {why}")),
            Some(Ok(found)) => match &file.sha256 {
                Some(written) if !written.eq_ignore_ascii_case(&found.sha256) => {
                    problem.help(format!("the file there is another one than the digest says: {}", found.fields()))
                }
                _ => problem.help(format!("paste: {}", found.fields())),
            },
        });
    }

    /// Adds a file of this disk to `sources`.
    fn file(&self, path: &DiskPath, at: &Path, name: &str, sources: &mut FetchSources, problems: &mut Vec<Problem>) {
        match known_file(&self.base.join(&path.0), &self.look) {
            Ok(file) => drop(sources.files.insert(name.to_owned(), file)),
            Err(error) => problems.push(on_disk(at, path, &error)),
        }
    }
}

/// Returns the problem with a file or a folder of this disk.
fn on_disk(at: &Path, path: &DiskPath, error: &DiskError) -> Problem {
    let problem = Problem::new(at, format!("`{}` {error}", path.0));
    match error {
        DiskError::Absent if path.0.starts_with('~') => problem.help("write the whole path: `~` is not expanded"),
        DiskError::Absent if !path.0.starts_with('/') => {
            problem.help("a relative path starts at the folder of the pipeline file")
        }
        DiskError::NotAFolder => problem.help(format!("write `File(\"{}\")`", path.0)),
        DiskError::NotAFile => problem.help(format!("write `Folder(\"{}\")`", path.0)),
        DiskError::Unreadable(_) => problem.help("allow reading them, or move them elsewhere"),
        DiskError::SameNames(_) => problem.help("rename one of them"),
        DiskError::Busy(_) => problem.help("run again when nothing writes to it any more"),
        _ => problem,
    }
}

fn expected(name: &str, size: Option<u64>, sha256: &Option<String>, blake3: &Option<String>) -> Expected {
    let lower = |digest: &Option<String>| digest.as_ref().map(|digest| digest.to_ascii_lowercase());
    Expected { name: name.to_owned(), size: size.unwrap_or(0), sha256: lower(sha256), blake3: lower(blake3) }
}

impl NamedRemote {
    /// Returns what is fetched from elsewhere, if it is not a file of this disk.
    fn remote(&self) -> Option<Remote> {
        let Self { name: _, url, file: _, size, sha256, blake3 } = self.clone();
        Some(Remote { url: url?, size, sha256, blake3 })
    }

    fn has_a_plain_name(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let name = &self.name;
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) {
            let problem = Problem::new(at.name("name"), format!("found `{name}`"));
            problems.push(problem.expected("letters, digits, `-`, `_` and `.`, not starting with `.`"));
        }
        match (self.remote(), &self.file) {
            (Some(remote), None) => drop(remote.has_a_place_and_a_digest(at, problems)),
            (None, Some(_)) if self.size.is_none() && self.sha256.is_none() && self.blake3.is_none() => {}
            (None, Some(_)) => {
                let problem = Problem::new(at, "found a `file` with its size or digest");
                problems.push(problem.help("leave them out: a file of this disk is read, and its bytes are its name"));
            }
            (None, None) => {
                problems.push(Problem::new(at, "found no place").expected("`url: \"..\"` or `file: \"..\"`"))
            }
            (Some(_), Some(_)) => {
                problems.push(Problem::new(at, "found two places").expected("either `url` or `file`"));
            }
        }
        self
    }
}

impl Remote {
    fn has_a_place_and_a_digest(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        let wrong = |found: String, expected: &str| Problem::new(at.name("url"), found).expected(expected);
        let found = format!("found `{}`", self.url);
        match self.url.parse::<Location>() {
            Ok(_) => {}
            Err(LocationError::Invalid(why)) => problems.push(wrong(format!("{found} ({why})"), "a URL")),
            Err(error @ LocationError::International) => {
                problems.push(Problem::new(at.name("url"), found).help(error.to_string()))
            }
            Err(LocationError::Scheme) => problems.push(wrong(found, "https://.., http://.. or file://..")),
            Err(LocationError::File) => problems.push(wrong(found, "file:///..")),
        }
        if self.size == Some(0) {
            problems.push(Problem::new(at.name("size"), "found `0`").expected("the file's size in bytes, at least 1"));
        }
        for (field, digest) in [("sha256", &self.sha256), ("blake3", &self.blake3)] {
            let Some(digest) = digest else { continue };
            if digest.len() != 64 || !digest.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                let problem = Problem::new(at.name(field), format!("found `{digest}`"));
                problems.push(problem.expected("64 hexadecimal digits"));
            }
        }
        self
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make the files that are looked at")]
mod tests {
    use super::*;

    fn spec(json: &str) -> FetchSpec {
        serde_json::from_str(json).unwrap()
    }

    fn key(spec: &FetchSpec) -> String {
        serde_json::to_string(&spec.divide().0).unwrap()
    }

    #[test]
    fn the_action_has_no_url() {
        let digest = "Ab".repeat(32);
        let spec = spec(&format!(r#"{{"Url":{{"url":"https://a/b.tar.gz","size":5,"sha256":"{digest}"}}}}"#));
        let lower = digest.to_lowercase();
        assert_eq!(key(&spec), format!(r#"{{"Files":[{{"name":"archive","size":5,"sha256":"{lower}"}}]}}"#));
        assert_eq!(spec.divide().1.urls["archive"], "https://a/b.tar.gz");
    }

    #[test]
    fn what_is_not_known_of_a_file_is_found_and_told_where_it_belongs() {
        let folder = tempfile::tempdir().unwrap();
        let look = || Look { skip: &[], notes: folder.path(), now: std::time::SystemTime::UNIX_EPOCH, tell: &|_| () };
        let measure = |url: &str| match url {
            "https://a/b" => Ok(Measured { size: 3, sha256: "ab".repeat(32) }),
            _ => Err("the server answers 404 Not Found".to_owned()),
        };
        let told = |json: &str, measure: Option<&Measure<'_>>| -> Vec<String> {
            let around = Surroundings { base: folder.path(), look: look(), measure };
            let problems = spec(json).look_up(&around).err().unwrap_or_default();
            problems.iter().map(ToString::to_string).collect()
        };
        let fields = format!("size: 3, sha256: \"{}\"", "ab".repeat(32));
        let both = "the size and the digest of the file are not written, expected `size` and `sha256` beside it";
        let one = r#"{"Url":{"url":"https://a/b"}}"#;
        assert_eq!(told(one, Some(&measure)), [format!("`Url.url`: {both} (paste: {fields})")]);
        let ask = "`pipe digest 'https://a/b'` prints them, and `pipe run` does";
        assert_eq!(told(one, None), [format!("`Url.url`: {both} ({ask})")]);
        let files = r#"{"Files":[{"name":"x","url":"https://a/b","size":3},{"name":"y","url":"https://a/c"}]}"#;
        let digest = "the digest of the file is not written, expected `size` and `sha256` beside it";
        assert_eq!(
            told(files, Some(&measure)),
            [
                format!("`Files[0].url`: {digest} (paste: {fields})"),
                format!("`Files[1].url`: {both} (they cannot be found: the server answers 404 Not Found)"),
            ]
        );
        let other = format!(r#"{{"Url":{{"url":"https://a/b","sha256":"{}"}}}}"#, "0".repeat(64));
        let size = "the size of the file is not written, expected `size` and `sha256` beside it";
        let wrong = format!("the file there is another one than the digest says: {fields}");
        assert_eq!(told(&other, Some(&measure)), [format!("`Url.url`: {size} ({wrong})")]);
    }

    #[test]
    fn files_of_this_disk_are_known_by_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        let look_up = |json: &str| {
            let now = std::time::SystemTime::UNIX_EPOCH;
            let look = Look { skip: &[], notes: &folder.path().join("notes"), now, tell: &|_| () };
            spec(json).look_up(&Surroundings { base: folder.path(), look, measure: None })
        };
        write("labels.csv", b"abc");
        let (action, sources) = look_up(r#"{"File":"labels.csv"}"#).unwrap();
        let blake3 = blake3::hash(b"abc").to_string();
        let url = format!(r#"{{"Url":{{"url":"https://a/b","size":3,"blake3":"{blake3}"}}}}"#);
        assert_eq!(action, spec(&url).divide().0);
        assert!(sources.files[ARCHIVE].path.ends_with("labels.csv"));
        let digest = "0".repeat(64);
        let files = format!(
            r#"{{"Files":[{{"name":"x","file":"labels.csv"}},{{"name":"a","url":"https://a/b","size":1,"blake3":"{digest}"}}]}}"#
        );
        let (action, sources) = look_up(&files).unwrap();
        assert_eq!(action.outputs(), ["a", "x"]);
        assert_eq!((sources.files.len(), sources.urls.len()), (1, 1));
        let problem = |json: &str| look_up(json).unwrap_err()[0].to_string();
        let relative = "a relative path starts at the folder of the pipeline file";
        assert_eq!(problem(r#"{"File":"no.csv"}"#), format!("`File`: `no.csv` is not there ({relative})"));
        assert_eq!(
            problem(r#"{"Folder":"~/pictures"}"#),
            "`Folder`: `~/pictures` is not there (write the whole path: `~` is not expanded)"
        );
        assert_eq!(
            problem(r#"{"Folder":"labels.csv"}"#),
            "`Folder`: `labels.csv` is a file, not a folder (write `File(\"labels.csv\")`)"
        );
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        assert_eq!(
            problem(r#"{"File":"empty"}"#),
            "`File`: `empty` is a folder, not a file (write `Folder(\"empty\")`)"
        );
        let (action, _) = look_up(r#"{"Folder":"empty"}"#).unwrap();
        let listing = crate::params::record(&crate::records::Listing::default());
        assert_eq!(
            serde_json::to_string(&action).unwrap(),
            format!(r#"{{"Folder":{{"listing":"{}"}}}}"#, blake3::hash(&listing))
        );
        assert_eq!(action.outputs(), ["listing.json"]);
    }

    #[test]
    fn the_order_of_files_does_not_matter() {
        let file = |name| format!(r#"{{"name":"{name}","url":"file:///x","size":1,"blake3":"{}"}}"#, "0".repeat(64));
        let one = spec(&format!(r#"{{"Files":[{},{}]}}"#, file("a"), file("b")));
        let other = spec(&format!(r#"{{"Files":[{},{}]}}"#, file("b"), file("a")));
        assert_eq!(key(&one), key(&other));
        assert_eq!(one.divide().0.outputs(), ["a", "b"]);
    }

    #[test]
    fn the_action_of_embedded_data_is_its_spec() {
        let json = r#"{"Embedded":{"name":"shapes100","train":10,"test":5}}"#;
        assert_eq!(key(&spec(json)), json);
        for json in [
            r#"{"Embedded":{"name":"shapes","train":10,"test":5}}"#,
            r#"{"Embedded":{"name":"shapes100","train":10,"test":5,"seed":1}}"#,
            r#"{"Url":{"url":"file:///x","size":1,"sha1":"0"}}"#,
            r#"{"Url":{"url":"file:///x","size":-1}}"#,
        ] {
            assert!(serde_json::from_str::<FetchSpec>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn problems_name_the_place_what_was_found_and_what_is_allowed() {
        let found = |json: &str| -> Vec<String> {
            let problems = crate::params::read::<FetchSpec>(&serde_json::from_str(json).unwrap()).unwrap_err();
            problems.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            found(r#"{"Embedded":{"name":"shapes100","train":0,"test":2000000}}"#),
            [
                "`Embedded.train`: found `0`, expected a whole number of 1 to 1000000",
                "`Embedded.test`: found `2000000`, expected a whole number of 1 to 1000000",
            ]
        );
        assert_eq!(
            found(r#"{"Url":{"url":"ftp://x","size":0,"sha256":"abc"}}"#),
            [
                "`Url.url`: found `ftp://x`, expected https://.., http://.. or file://..",
                "`Url.size`: found `0`, expected the file's size in bytes, at least 1",
                "`Url.sha256`: found `abc`, expected 64 hexadecimal digits",
            ]
        );
        let name = "expected letters, digits, `-`, `_` and `.`, not starting with `.`";
        assert_eq!(
            found(r#"{"Files":[{"name":"a/b","url":"file:///x","size":1},{"name":"a/b","url":"file:///x","size":1}]}"#),
            [
                format!("`Files[0].name`: found `a/b`, {name}"),
                format!("`Files[1].name`: found `a/b`, {name}"),
                "`Files[1].name`: found `a/b` twice, expected different names".to_owned(),
            ]
        );
        assert_eq!(
            found(
                r#"{"Files":[{"name":"a"},{"name":"b","url":"file:///x","file":"x"},{"name":"c","file":"x","size":1}]}"#
            ),
            [
                "`Files[0]`: found no place, expected `url: \"..\"` or `file: \"..\"`",
                "`Files[1]`: found two places, expected either `url` or `file`",
                "`Files[2]`: found a `file` with its size or digest (leave them out: a file of this disk is read, and its \
                 bytes are its name)",
            ]
        );
        assert_eq!(
            found(r#"{"Folder":"https://a/b"}"#),
            ["`Folder`: found `https://a/b`, expected a path of this disk (a file elsewhere is `Url(url: \"..\")`)"]
        );
        assert_eq!(found(r#"{"File":""}"#), ["`File`: found ``, expected a path"]);
        assert_eq!(found(r#"{"Files":[]}"#), ["`Files`: found no file, expected one or more"]);
    }
}
