//! Keys of Ed25519, with which results are signed. They and signatures are written in hexadecimal digits.

use std::{fmt, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use pipe_store::Digest;
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};

use crate::error::{RemoteError, Result};

/// A public key: who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signer(pub(crate) Digest);

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Signer {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self> {
        let message = "a public key has 64 hexadecimal digits; `pipe remote keygen FILE` prints one".to_owned();
        text.parse().map(Self).map_err(|_| RemoteError::Unfit(message))
    }
}

/// A secret key.
pub struct SecretKey(Ed25519KeyPair);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.signer())
    }
}

/// What the file of a secret key begins with.
const HEAD: &str = "pipe-secret-key-1 ";

impl SecretKey {
    /// Makes a new key and writes it to a new file, which only this user may read.
    ///
    /// # Errors
    /// If there is such a file, or it cannot be written.
    #[expect(
        clippy::disallowed_methods,
        reason = "a secret is written with its permissions, to a file that did not exist"
    )]
    pub fn create(path: &Path) -> Result<Self> {
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| RemoteError::Unfit("no random numbers are to be had".to_owned()))?;
        let failed = |error: std::io::Error| RemoteError::File { path: path.to_owned(), reason: error.to_string() };
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let line = format!("{HEAD}{}\n", Digest::from_bytes(seed));
        let mut file = file.map_err(failed)?;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(Self::of(&seed))
    }

    /// Reads a key from its file.
    ///
    /// # Errors
    /// If it cannot be read or is not such a file.
    pub fn read(path: &Path) -> Result<Self> {
        let mistake = |reason: String| RemoteError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| mistake(error.to_string()))?;
        let seed = text.trim().strip_prefix(HEAD).and_then(|digits| digits.parse::<Digest>().ok());
        let seed = seed.ok_or_else(|| mistake("it is not a key that `pipe remote keygen` wrote".to_owned()))?;
        Ok(Self::of(seed.as_bytes()))
    }

    fn of(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed"))
    }

    /// Returns the public key.
    pub fn signer(&self) -> Signer {
        Signer(Digest::from_bytes(self.0.public_key().as_ref().try_into().expect("a public key has 32 bytes")))
    }

    /// Signs something. The same key gives the same signature of the same thing.
    pub(crate) fn sign(&self, what: &[u8]) -> Vec<u8> {
        let hex = self.0.sign(what).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        (hex + "\n").into_bytes()
    }
}

impl Signer {
    /// Returns whether this is a signature of something with this key.
    pub(crate) fn has_signed(self, what: &[u8], signature: &[u8]) -> bool {
        let digits = signature.strip_suffix(b"\n").unwrap_or(signature);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        bytes.is_some_and(|bytes| UnparsedPublicKey::new(&ED25519, self.0.as_bytes()).verify(what, &bytes).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_only_its_own_signatures_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let secret = SecretKey::create(&path).unwrap();
        assert!(SecretKey::create(&path).is_err(), "a key is never overwritten");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(SecretKey::read(&path).unwrap().signer(), secret.signer());
        let other = SecretKey::of(&[7; 32]);
        let study = Digest::of(b"study");
        let signature = secret.sign(study.as_bytes());
        let signer: Signer = secret.signer().to_string().parse().unwrap();
        assert!(signer.has_signed(study.as_bytes(), &signature));
        assert!(!other.signer().has_signed(study.as_bytes(), &signature));
        assert!(!signer.has_signed(Digest::of(b"other").as_bytes(), &signature));
        for at in 0..signature.len() - 1 {
            let mut flipped = signature.clone();
            flipped[at] = if flipped[at] == b'0' { b'1' } else { b'0' };
            assert!(!signer.has_signed(study.as_bytes(), &flipped), "digit {at}");
        }
        for text in [&b""[..], b"xx", "é".as_bytes()] {
            assert!(!signer.has_signed(b"", text));
        }
    }

    #[test]
    fn a_signature_does_not_change() {
        let secret = SecretKey::of(&[7; 32]);
        assert_eq!(secret.signer().to_string(), "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
    }
}
