//! The layout of a remote. Objects and results have the same names as in a store, so that other tools can copy and check them.
//!
//! ```text
//! format                           the number of this layout
//! objects/ab/<62 digits>           an object's bytes; with `.zst`, compressed
//! actions/ab/<62 digits>.json      the result of an action. It is written once
//! signatures/actions/<key>/<signer>  who says that the result is right
//! signatures/studies/<hash>/<signer> who says so of all results of a study
//! closures/<study hash>.zst        everything that a study needs
//! latest/<name>                    the latest study of a name, for servers that cannot list
//! studies/<name>/<time>-<hash>     the studies of a name. The last is the latest
//! gc/<time>.zst                    what a collection has marked
//! ```
//!
//! They are written in this order from `objects` on, so whatever is there names only what is there.

use pipe_store::{ActionKey, Digest, Encoding};

pub(crate) const FORMAT: &str = "format";
pub(crate) const STUDIES: &str = "studies";
pub(crate) const MARKS: &str = "gc";

pub(crate) fn object(digest: &Digest, encoding: Encoding) -> String {
    sharded("objects", digest, encoding.suffix())
}

pub(crate) fn action(key: &ActionKey) -> String {
    sharded("actions", &key.0, ".json")
}

pub(crate) fn closure(study: &Digest) -> String {
    format!("closures/{study}.zst")
}

pub(crate) fn signature_of_result(key: &ActionKey, signer: &Digest) -> String {
    format!("signatures/actions/{}/{signer}", key.0)
}

pub(crate) fn signature_of_study(study: &Digest, signer: &Digest) -> String {
    format!("signatures/studies/{study}/{signer}")
}

/// Returns the path of what is signed by the signature at `path`.
pub(crate) fn signed(path: &str) -> Option<String> {
    let (kind, rest) = path.strip_prefix("signatures/")?.split_once('/')?;
    let digest = rest.split('/').next()?.parse().ok()?;
    match kind {
        "actions" => Some(action(&ActionKey(digest))),
        "studies" => Some(closure(&digest)),
        _ => None,
    }
}

pub(crate) fn mark(at: u64) -> String {
    format!("{MARKS}/{at:012}.zst")
}

/// Returns the folder of the studies of a name.
pub(crate) fn studies_of(name: &str) -> String {
    format!("{STUDIES}/{}", escape(name))
}

pub(crate) fn study(name: &str, at: u64, hash: &Digest) -> String {
    format!("{}/{at:012}-{hash}", studies_of(name))
}

pub(crate) fn latest(name: &str) -> String {
    format!("latest/{}", escape(name))
}

/// Reads the path of a study: its name, the time, and its hash.
pub(crate) fn parse_study(path: &str) -> Option<(String, u64, Digest)> {
    let (name, entry) = path.strip_prefix(STUDIES)?.strip_prefix('/')?.split_once('/')?;
    let (at, hash) = entry.split_once('-')?;
    Some((unescape(name)?, at.parse().ok()?, hash.parse().ok()?))
}

fn sharded(folder: &str, digest: &Digest, suffix: &str) -> String {
    let digits = digest.to_string();
    format!("{folder}/{}/{}{suffix}", &digits[..2], &digits[2..])
}

/// Returns a name as part of a path, in which every server and tool accepts all characters. `=` and two digits are a byte.
fn escape(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        byte => format!("={byte:02x}"),
    };
    name.bytes().map(byte).collect()
}

fn unescape(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        if *first == b'=' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_do_not_change() {
        let digest = Digest::of(b"");
        let digits = "1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(object(&digest, Encoding::Raw), format!("objects/af/{digits}"));
        assert_eq!(object(&digest, Encoding::Zstd), format!("objects/af/{digits}.zst"));
        assert_eq!(action(&ActionKey(digest)), format!("actions/af/{digits}.json"));
        assert_eq!(closure(&digest), format!("closures/af{digits}.zst"));
        assert_eq!(study("my study", 7, &digest), format!("studies/my=20study/000000000007-af{digits}"));
    }

    #[test]
    fn the_path_of_a_study_is_read_as_it_was_written() {
        for name in ["shapes", "my study", "ä=b%2F", "x.y-z_1"] {
            let digest = Digest::of(name.as_bytes());
            assert_eq!(parse_study(&study(name, 12, &digest)), Some((name.to_owned(), 12, digest)), "{name}");
        }
        for path in ["studies/a", "studies/a/b", "studies/=zz/000000000012-00", "actions/a/b-c", "studies/a=/1-2"] {
            assert_eq!(parse_study(path), None, "{path}");
        }
    }
}
