//! The URLs of files, with the three schemes that can be fetched from.

use std::{fmt, path::PathBuf, str::FromStr};

use url::Url;

/// Why a text is not the URL of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It is not a URL.
    #[error("{0}")]
    Invalid(#[from] url::ParseError),
    /// The name of its host has letters that are not ASCII.
    #[error("write a host with letters beyond a to z in its ASCII form, which begins with `xn--`")]
    International,
    /// Its scheme is not supported.
    #[error("allowed are https://.., http://.. and file://..")]
    Scheme,
    /// A file URL has a host or does not have an absolute path.
    #[error("a file URL has three slashes and an absolute path: file:///..")]
    File,
}

/// The URL of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location(Url);

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        // The scheme is checked first: an error about the rules of an unsupported scheme would not help.
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        if !["https", "http", "file"].contains(&scheme.as_str()) {
            return Err(LocationError::Scheme);
        }
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::IdnaError if !text.is_ascii() => LocationError::International,
            error => error.into(),
        })?;
        match scheme.as_str() {
            "file" if url.to_file_path().is_err() || url.path() == "/" => Err(LocationError::File),
            _ => Ok(Self(url)),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Location {
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// Returns the path of a `file://` URL.
    pub(super) fn path(&self) -> Option<PathBuf> {
        if self.0.scheme() == "file" { self.0.to_file_path().ok() } else { None }
    }

    /// Returns the last segment of the path, if it can be the name of a file.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.path_segments()?.next_back().filter(|name| !name.is_empty())
    }
}

/// A folder of files that is tried before the URLs of the pipeline file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror(Url);

impl FromStr for Mirror {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        // `join` only looks inside a URL that ends with a slash.
        let Location(url) = format!("{}/", text.trim_end_matches('/')).parse()?;
        Ok(Self(url))
    }
}

impl Mirror {
    /// Returns the location of a file in the mirror. `name` is escaped as in a URL.
    pub(super) fn file(&self, name: &str) -> Option<Location> {
        self.0.join(&format!("./{name}")).ok().map(Location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_is_wrong_with_a_url() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Location>().unwrap_err().to_string(), expected, "{text}");
        };
        let schemes = "allowed are https://.., http://.. and file://..";
        ["ftp://x", "x", "", "/a/file", "mailto:x"].iter().for_each(|text| check(text, schemes));
        check("https://", "empty host");
        check("https://a b/c", "invalid international domain name");
        let international = "write a host with letters beyond a to z in its ASCII form, which begins with `xn--`";
        check("https://bücher.example/c", international);
        check("http://[::1", "invalid IPv6 address");
        check("https://x:99999/y", "invalid port number");
        let file = "a file URL has three slashes and an absolute path: file:///..";
        ["file://relative", "file://host/a", "file://"].iter().for_each(|text| check(text, file));
    }

    #[test]
    fn spaces_and_umlauts_are_escaped() {
        let check = |text: &str, expected: &str| assert_eq!(text.parse::<Location>().unwrap().to_string(), expected);
        check("HTTP://A.b/c d/\u{e4}.gz?q=\u{e4} x", "http://a.b/c%20d/%C3%A4.gz?q=%C3%A4%20x");
        check("https://a.b/c%20d", "https://a.b/c%20d");
    }

    #[test]
    fn the_name_of_a_file_is_the_last_segment_of_its_url() {
        let check = |url: &str, expected| assert_eq!(url.parse::<Location>().unwrap().name(), expected, "{url}");
        check("https://a.b/c/d.tar.gz?x=/y#z", Some("d.tar.gz"));
        check("https://a.b/c/", None);
        check("https://a.b", None);
        check("file:///x/y/..", None);
    }

    #[test]
    fn the_path_of_a_file_url_has_no_escapes() {
        let path = |url: &str| url.parse::<Location>().unwrap().path();
        assert_eq!(path("file:///a%20file%25.gz"), Some(PathBuf::from("/a file%.gz")));
        assert_eq!(path("file://localhost/a"), Some(PathBuf::from("/a")));
        assert_eq!(path("https://a.b/c"), None);
    }

    #[test]
    fn a_mirror_may_end_with_a_slash_or_not() {
        for base in ["https://a.b/m", "https://a.b/m/"] {
            let mirror: Mirror = base.parse().unwrap();
            assert_eq!(mirror.file("a%20b.gz").unwrap().to_string(), "https://a.b/m/a%20b.gz");
            // A name with a colon is not a scheme.
            assert_eq!(mirror.file("x:y").unwrap().to_string(), "https://a.b/m/x:y");
        }
        assert_eq!("folder".parse::<Mirror>(), Err(LocationError::Scheme));
        assert_eq!("file://folder".parse::<Mirror>(), Err(LocationError::File));
    }
}
