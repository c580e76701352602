//! Checks the size and the digests of bytes while they come in.

use sha2::{Digest as _, Sha256};

use super::Expected;

/// The bytes that came are not the expected ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error("found more than the expected {expected} bytes")]
    TooLong { expected: u64 },
    #[error("found {found} bytes with sha256 {sha256}, expected {expected} bytes")]
    Length { found: u64, expected: u64, sha256: String },
    #[error("found {kind} {found}, expected {expected}")]
    Wrong { kind: &'static str, found: String, expected: String },
    #[error("{why}, which begins after the first {found} bytes")]
    Stale { found: u64, why: String },
    #[error("found an HTML page of {found} bytes that begins `{beginning}`, expected {expected} bytes")]
    Page { found: u64, expected: u64, beginning: String },
}

/// Takes the bytes of a file in order and checks them.
pub(super) struct Verifier<'a> {
    expected: &'a Expected,
    sha256: Sha256,
    blake3: Option<blake3::Hasher>,
    /// The bytes, as many as are expected.
    bytes: Vec<u8>,
    /// The number of bytes that came.
    len: u64,
    beginning: Vec<u8>,
}

/// The bytes of the beginning that tell what a file is.
const BEGINNING: usize = 512;

impl<'a> Verifier<'a> {
    pub(super) fn new(expected: &'a Expected) -> Self {
        Self {
            expected,
            sha256: Sha256::new(),
            blake3: expected.blake3.is_some().then(blake3::Hasher::new),
            bytes: Vec::new(),
            len: 0,
            beginning: Vec::new(),
        }
    }

    /// Returns the number of bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Takes the next bytes. They may be more than expected.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(hasher) = &mut self.blake3 {
            hasher.update(bytes);
        }
        let room = self.expected.size.saturating_sub(self.len).min(bytes.len() as u64) as usize;
        self.bytes.extend_from_slice(&bytes[..room]);
        self.len += bytes.len() as u64;
        let more = BEGINNING.saturating_sub(self.beginning.len()).min(bytes.len());
        self.beginning.extend_from_slice(&bytes[..more]);
    }

    /// Returns whether there are more bytes than expected.
    pub(super) fn is_too_long(&self) -> bool {
        self.len > self.expected.size
    }

    /// Returns the bytes of the file.
    ///
    /// # Errors
    /// If there are too few or too many bytes, or a digest is not the expected one.
    pub(super) fn finish(self) -> Result<Vec<u8>, Mismatch> {
        let Expected { size, sha256, blake3, .. } = self.expected;
        let found: String = hex(self.sha256);
        let mismatch = match (sha256, self.blake3, blake3) {
            _ if self.len != *size => Mismatch::Length { found: self.len, expected: *size, sha256: found },
            (Some(expected), ..) if found != *expected => {
                Mismatch::Wrong { kind: "sha256", found, expected: expected.clone() }
            }
            (_, Some(hasher), Some(expected)) if hasher.finalize().to_string() != *expected => {
                let found = hasher.finalize().to_string();
                Mismatch::Wrong { kind: "blake3", found, expected: expected.clone() }
            }
            _ => return Ok(self.bytes),
        };
        Err(match page(&self.beginning) {
            Some(beginning) => Mismatch::Page { found: self.len, expected: *size, beginning },
            None => mismatch,
        })
    }
}

/// Returns a SHA-256 digest as hexadecimal digits.
pub(super) fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the beginning of an HTML page, as text for a person. `None` if it is something else.
pub(super) fn page(beginning: &[u8]) -> Option<String> {
    const SHOWN: usize = 60;
    let text = String::from_utf8_lossy(beginning);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower = text.to_ascii_lowercase();
    let is_page = ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| lower.starts_with(tag));
    let words = || text.split_whitespace().collect::<Vec<_>>().join(" ");
    is_page.then(|| words().chars().take(SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(size: u64, sha256: Option<&str>, blake3: Option<&str>, expected: Result<(), &str>) {
        let file = Expected {
            name: "x".to_owned(),
            size,
            sha256: sha256.map(str::to_owned),
            blake3: blake3.map(str::to_owned),
        };
        let mut verifier = Verifier::new(&file);
        verifier.update(b"a");
        verifier.update(b"bc");
        assert_eq!(verifier.is_too_long(), size < 3);
        let result = verifier.finish();
        assert_eq!(
            result.map(|bytes| assert_eq!(bytes, b"abc")).map_err(|e| e.to_string()),
            expected.map_err(str::to_owned)
        );
    }

    // FIPS 180-4's example, and `printf abc | b3sum`.
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const BLAKE3: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";

    #[test]
    fn size_and_every_digest_must_fit() {
        let zero = &"0".repeat(64);
        check(3, Some(SHA256), None, Ok(()));
        check(3, None, Some(BLAKE3), Ok(()));
        check(3, Some(SHA256), Some(BLAKE3), Ok(()));
        check(3, Some(SHA256), Some(zero), Err(&format!("found blake3 {BLAKE3}, expected {zero}")));
        check(3, Some(zero), Some(BLAKE3), Err(&format!("found sha256 {SHA256}, expected {zero}")));
        for size in [2, 4] {
            check(size, Some(SHA256), None, Err(&format!("found 3 bytes with sha256 {SHA256}, expected {size} bytes")));
        }
    }

    #[test]
    fn a_page_is_known_by_its_beginning() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(page(text.as_bytes()).as_deref(), expected, "{text}");
        check(
            "\u{feff}\n <!DOCTYPE html>\n<html>\n<title>Sign in</title>",
            Some("<!DOCTYPE html> <html> <title>Sign in</title>"),
        );
        check("<HTML>", Some("<HTML>"));
        check("<?xml version=\"1.0\"?>", None);
        check("", None);
        assert_eq!(page(format!("<html>{}", "é".repeat(100)).as_bytes()).unwrap().chars().count(), 60);
    }
}
