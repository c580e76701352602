//! What a user writes: files by URL, digest and size. It is divided into what is expected and where it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    ARCHIVE, Embedded, Expected, FetchAction,
    location::{Location, LocationError},
};

/// `fetch` as the pipeline file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum FetchSpec {
    /// Generated data; its output is `archive`.
    Embedded(Embedded),
    /// One file; its output is `archive`.
    Url(Remote),
    /// Several files; outputs are called by their names.
    Files(Vec<NamedRemote>),
}

/// A file somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// `https://`, `http://` or `file://`.
    pub url: String,
    /// In bytes.
    pub size: u64,
    /// 64 hexadecimal digits. At least one of the two digests is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// A file somewhere, and the name of the output it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedRemote {
    /// Letters, digits, `-`, `_` and `.`.
    pub name: String,
    pub url: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// Where files come from: outside the key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchSources {
    /// name -> URL.
    pub urls: BTreeMap<String, String>,
}

impl FetchSpec {
    /// Returns what the action says, and where its files are.
    pub fn divide(&self) -> (FetchAction, FetchSources) {
        let files = match self {
            Self::Embedded(embedded) => return (FetchAction::Embedded(embedded.clone()), FetchSources::default()),
            Self::Url(file) => vec![(ARCHIVE, file.clone())],
            Self::Files(files) => files.iter().map(|file| (file.name.as_str(), file.remote())).collect(),
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

    /// Returns what is wrong with the values: (path inside the parameters, what was found and what is allowed).
    pub fn problems(&self) -> Vec<(String, String)> {
        match self {
            Self::Embedded(embedded) => [("train", embedded.train), ("test", embedded.test)]
                .into_iter()
                .filter(|(_, n)| !(1..=1_000_000).contains(n))
                .map(|(field, n)| (format!("Embedded.{field}"), format!("found {n}, allowed: 1 to 1000000")))
                .collect(),
            Self::Url(file) => file.problems("Url"),
            Self::Files(files) if files.is_empty() => {
                vec![("Files".to_owned(), "found no file, allowed: one or more".to_owned())]
            }
            Self::Files(files) => {
                let mut problems = Vec::new();
                let mut seen = BTreeSet::new();
                for (i, file) in files.iter().enumerate() {
                    let NamedRemote { name, .. } = file;
                    let path = format!("Files[{i}]");
                    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                    if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) {
                        let allowed = "letters, digits, `-`, `_` and `.`, not first";
                        problems.push((format!("{path}.name"), format!("found `{name}`, allowed: {allowed}")));
                    }
                    if !seen.insert(name) {
                        problems.push((format!("{path}.name"), format!("found `{name}` twice, allowed: once")));
                    }
                    problems.extend(file.remote().problems(&path));
                }
                problems
            }
        }
    }
}

impl NamedRemote {
    fn remote(&self) -> Remote {
        let Self { name: _, url, size, sha256, blake3 } = self.clone();
        Remote { url, size, sha256, blake3 }
    }
}

impl Remote {
    fn problems(&self, path: &str) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, message: String| problems.push((format!("{path}{field}"), message));
        match self.url.parse::<Location>() {
            Ok(_) => {}
            Err(LocationError::Invalid(why)) => {
                problem(".url", format!("found `{}` ({why}), allowed: a URL", self.url))
            }
            Err(LocationError::Scheme) => {
                problem(".url", format!("found `{}`, allowed: https://.., http://.. and file://..", self.url));
            }
            Err(LocationError::File) => problem(".url", format!("found `{}`, allowed: file:///..", self.url)),
        }
        if self.size == 0 {
            problem(".size", "found 0, allowed: the file's bytes, at least 1".to_owned());
        }
        for (field, digest) in [(".sha256", &self.sha256), (".blake3", &self.blake3)] {
            let Some(digest) = digest else { continue };
            if digest.len() != 64 || !digest.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                problem(field, format!("found `{digest}`, allowed: 64 hexadecimal digits"));
            }
        }
        if self.sha256.is_none() && self.blake3.is_none() {
            problem("", "found no digest, allowed: `sha256`, `blake3` or both (`sha256sum FILE` tells)".to_owned());
        }
        problems
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
        assert_eq!(spec.problems(), []);
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
    fn embedded_data_is_its_own_action() {
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
        let found = |json| -> Vec<String> {
            spec(json).problems().iter().map(|(path, message)| format!("{path}: {message}")).collect()
        };
        assert_eq!(
            found(r#"{"Embedded":{"name":"shapes100","train":0,"test":2000000}}"#),
            ["Embedded.train: found 0, allowed: 1 to 1000000", "Embedded.test: found 2000000, allowed: 1 to 1000000",]
        );
        assert_eq!(
            found(r#"{"Url":{"url":"ftp://x","size":0,"sha256":"abc"}}"#),
            [
                "Url.url: found `ftp://x`, allowed: https://.., http://.. and file://..",
                "Url.size: found 0, allowed: the file's bytes, at least 1",
                "Url.sha256: found `abc`, allowed: 64 hexadecimal digits",
            ]
        );
        assert_eq!(
            found(r#"{"Files":[{"name":"a/b","url":"file:///x","size":1},{"name":"a/b","url":"file:///x","size":1}]}"#),
            [
                "Files[0].name: found `a/b`, allowed: letters, digits, `-`, `_` and `.`, not first",
                "Files[0]: found no digest, allowed: `sha256`, `blake3` or both (`sha256sum FILE` tells)",
                "Files[1].name: found `a/b`, allowed: letters, digits, `-`, `_` and `.`, not first",
                "Files[1].name: found `a/b` twice, allowed: once",
                "Files[1]: found no digest, allowed: `sha256`, `blake3` or both (`sha256sum FILE` tells)",
            ]
        );
        assert_eq!(found(r#"{"Files":[]}"#), ["Files: found no file, allowed: one or more"]);
    }
}
