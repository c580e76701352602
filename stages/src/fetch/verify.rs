//! Checks the size and the digests of bytes while they come in.

use sha2::{Digest as _, Sha256};

use super::Expected;

/// The bytes that came are not the expected ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error("found more than the expected {expected} bytes")]
    TooLong { expected: u64 },
    #[error("found {found} bytes, expected {expected}")]
    TooShort { found: u64, expected: u64 },
    #[error("found {kind} {found}, expected {expected}")]
    Wrong { kind: &'static str, found: String, expected: String },
}

/// Takes the bytes of a file in order and checks them.
pub(super) struct Verifier<'a> {
    expected: &'a Expected,
    sha256: Option<Sha256>,
    blake3: Option<blake3::Hasher>,
    bytes: Vec<u8>,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(expected: &'a Expected) -> Self {
        Self {
            expected,
            sha256: expected.sha256.is_some().then(Sha256::new),
            blake3: expected.blake3.is_some().then(blake3::Hasher::new),
            bytes: Vec::new(),
        }
    }

    /// Returns the number of bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// If there are more bytes than expected.
    pub(super) fn update(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        let expected = self.expected.size;
        if self.len() + bytes.len() as u64 > expected {
            return Err(Mismatch::TooLong { expected });
        }
        if let Some(hasher) = &mut self.sha256 {
            hasher.update(bytes);
        }
        if let Some(hasher) = &mut self.blake3 {
            hasher.update(bytes);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns the bytes of the file.
    ///
    /// # Errors
    /// If bytes are missing or a digest is not the expected one.
    pub(super) fn finish(self) -> Result<Vec<u8>, Mismatch> {
        let Expected { size, sha256, blake3, .. } = self.expected;
        if self.len() < *size {
            return Err(Mismatch::TooShort { found: self.len(), expected: *size });
        }
        let check = |kind, found: Option<String>, expected: &Option<String>| match (found, expected) {
            (Some(found), Some(expected)) if found != *expected => {
                Err(Mismatch::Wrong { kind, found, expected: expected.clone() })
            }
            _ => Ok(()),
        };
        let hex = |hasher: Sha256| hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        check("sha256", self.sha256.map(hex), sha256)?;
        check("blake3", self.blake3.map(|hasher| hasher.finalize().to_string()), blake3)?;
        Ok(self.bytes)
    }
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
        let result = verifier.update(b"a").and_then(|()| verifier.update(b"bc")).and_then(|()| verifier.finish());
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
        check(4, Some(SHA256), None, Err("found 3 bytes, expected 4"));
        check(2, Some(SHA256), None, Err("found more than the expected 2 bytes"));
    }
}
