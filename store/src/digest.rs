//! The name of an object: the BLAKE3 hash of its uncompressed bytes.

use std::{
    fmt,
    io::{self, Read},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The 32-byte BLAKE3 hash (plain, without key or context) of an object's uncompressed bytes. Shown as 64 lower-case hexadecimal
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// At least this many bytes are hashed by several threads.
const SHARED: usize = 1 << 20;
/// A reader's bytes are hashed in pieces of this length.
const PIECE: u64 = 4 << 20;

/// The error for a text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: expected 64 hexadecimal digits")]
pub struct ParseDigestError(pub String);

impl Digest {
    /// Returns the digest of `bytes`. Many bytes are hashed on all cores.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the digest of everything that `reader` yields.
    pub(crate) fn of_reader(reader: &mut impl Read) -> io::Result<Self> {
        let (mut hasher, mut piece) = (Hasher::default(), Vec::with_capacity(64 << 10));
        while reader.by_ref().take(PIECE).read_to_end(&mut piece)? > 0 {
            hasher.update(&piece);
            piece.clear();
        }
        Ok(hasher.finish())
    }

    /// Returns the digest that consists of `bytes`.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first twelve hexadecimal digits, to be shown to people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDigestError(text.to_owned());
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| error())?;
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
            *byte = nibble(*high).zip(nibble(*low)).map(|(high, low)| high << 4 | low).ok_or_else(error)?;
        }
        Ok(Self(bytes))
    }
}

/// Finds the digest of bytes that come in pieces. A long piece is hashed on all cores.
#[derive(Default)]
pub(crate) struct Hasher(blake3::Hasher);

impl Hasher {
    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if bytes.len() < SHARED {
            self.0.update(bytes)
        } else {
            self.0.update_rayon(bytes)
        };
    }

    /// Returns the digest of the bytes so far.
    pub(crate) fn finish(&self) -> Digest {
        self.0.finalize().into()
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&blake3::Hash::from(self.0).to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl de::Visitor<'_> for Digits {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest of 64 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_object_has_blake3s_published_name() {
        let name = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Digest::of(b"").to_string(), name);
        assert_eq!(name.parse(), Ok(Digest::of(b"")));
    }

    #[test]
    fn bytes_have_the_same_name_however_many_threads_hash_them() {
        let bytes = crate::testing::noise(9_000_000);
        for length in [0, SHARED - 1, SHARED, bytes.len()] {
            let name = Digest::from(blake3::hash(&bytes[..length]));
            assert_eq!(Digest::of(&bytes[..length]), name);
            assert_eq!(Digest::of_reader(&mut &bytes[..length]).unwrap(), name);
        }
    }

    #[test]
    fn only_64_lower_case_hex_digits_are_a_digest() {
        for text in ["", "af13", &"AF".repeat(32), &"+1".repeat(32), &"é".repeat(32), &"0".repeat(65)] {
            assert_eq!(text.parse::<Digest>(), Err(ParseDigestError(text.to_owned())));
        }
    }
}
