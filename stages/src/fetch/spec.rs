//! The parameters of `fetch` in the pipeline file. They are divided into the action, which has digests and sizes, and the URLs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ARCHIVE, Embedded, Expected, FetchAction,
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
    }
}

parameters! {
    /// A file to fetch.
    #[derive(Eq)]
    pub struct Remote where has_a_place_and_a_digest {
        /// The URL: `https://..`, `http://..` or `file://..`.
        url: String,
        /// The size in bytes.
        size: u64,
        /// The SHA-256 digest, 64 hexadecimal digits. At least one of the two digests is required.
        sha256: Option<String>,
        /// The BLAKE3 digest, 64 hexadecimal digits. At least one of the two digests is required.
        blake3: Option<String>,
    }
}

parameters! {
    /// A file to fetch, and the name of its output.
    #[derive(Eq)]
    pub struct NamedRemote where has_a_plain_name {
        /// The name: letters, digits, `-`, `_` and `.`, but it must not start with `.`.
        name: String,
        /// The URL: `https://..`, `http://..` or `file://..`.
        url: String,
        /// The size in bytes.
        size: u64,
        /// The SHA-256 digest, 64 hexadecimal digits. At least one of the two digests is required.
        sha256: Option<String>,
        /// The BLAKE3 digest, 64 hexadecimal digits. At least one of the two digests is required.
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchSources {
    /// The URL of each file, by name.
    pub urls: BTreeMap<String, String>,
}

impl FetchSpec {
    /// Returns the action, and the sources of its files.
    pub fn divide(&self) -> (FetchAction, FetchSources) {
        let files = match self {
            Self::Embedded(embedded) => return (FetchAction::Embedded(embedded.clone()), FetchSources::default()),
            Self::Url(file) => vec![(ARCHIVE, file.clone())],
            Self::Files(files) => files.0.iter().map(|file| (file.name.as_str(), file.remote())).collect(),
        };
        let lower = |digest: &Option<String>| digest.as_ref().map(|digest| digest.to_ascii_lowercase());
        let mut expected: Vec<Expected> = files
            .iter()
            .map(|(name, file)| Expected {
                name: (*name).to_owned(),
                size: file.size,
                sha256: lower(&file.sha256),
                blake3: lower(&file.blake3),
            })
            .collect();
        expected.sort_by(|a, b| a.name.cmp(&b.name));
        let urls = files.into_iter().map(|(name, file)| (name.to_owned(), file.url)).collect();
        (FetchAction::Files(expected), FetchSources { urls })
    }
}

impl NamedRemote {
    fn remote(&self) -> Remote {
        let Self { name: _, url, size, sha256, blake3 } = self.clone();
        Remote { url, size, sha256, blake3 }
    }

    fn has_a_plain_name(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let name = &self.name;
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) {
            let problem = Problem::new(at.name("name"), format!("found `{name}`"));
            problems.push(problem.expected("letters, digits, `-`, `_` and `.`, not starting with `.`"));
        }
        self.remote().has_a_place_and_a_digest(at, problems);
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
            Err(LocationError::Scheme) => problems.push(wrong(found, "https://.., http://.. or file://..")),
            Err(LocationError::File) => problems.push(wrong(found, "file:///..")),
        }
        if self.size == 0 {
            problems.push(Problem::new(at.name("size"), "found `0`").expected("the file's size in bytes, at least 1"));
        }
        for (field, digest) in [("sha256", &self.sha256), ("blake3", &self.blake3)] {
            let Some(digest) = digest else { continue };
            if digest.len() != 64 || !digest.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                let problem = Problem::new(at.name(field), format!("found `{digest}`"));
                problems.push(problem.expected("64 hexadecimal digits"));
            }
        }
        if self.sha256.is_none() && self.blake3.is_none() {
            let problem = Problem::new(at, "found no digest");
            problems.push(problem.expected("`sha256`, `blake3` or both (`sha256sum FILE` prints it)"));
        }
        self
    }
}

#[cfg(test)]
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
        let digest = "expected `sha256`, `blake3` or both (`sha256sum FILE` prints it)";
        let name = "expected letters, digits, `-`, `_` and `.`, not starting with `.`";
        assert_eq!(
            found(r#"{"Files":[{"name":"a/b","url":"file:///x","size":1},{"name":"a/b","url":"file:///x","size":1}]}"#),
            [
                format!("`Files[0].name`: found `a/b`, {name}"),
                format!("`Files[0]`: found no digest, {digest}"),
                format!("`Files[1].name`: found `a/b`, {name}"),
                format!("`Files[1]`: found no digest, {digest}"),
                "`Files[1].name`: found `a/b` twice, expected different names".to_owned(),
            ]
        );
        assert_eq!(found(r#"{"Files":[]}"#), ["`Files`: found no file, expected one or more"]);
    }
}
