//! The closure of a study: a list of everything that it needs, so that a pull asks for nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
};

use pipe_store::{ActionKey, Digest, Encoding, FailureRecord, Stored};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    bucket::Bucket,
    error::{RemoteError, Result},
    layout,
};

/// The number of the format.
const FORMAT: u32 = 1;
/// The most bytes of a closure, as it is sent and as it is read. One of 10,000 trials has about 15 MB.
pub(crate) const LONGEST: u64 = 512 << 20;

/// What can be left out, because `pipe run` makes it again or nothing needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Without {
    /// The weights of networks.
    Weights,
    /// Data sets: what `Fetch` and `Decode` give, except for folders of the project.
    Data,
    /// What executions said.
    Logs,
}

impl Without {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Data => "data",
            Self::Logs => "logs",
        }
    }
}

/// The closure of a study. The fields are sorted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closure {
    /// The results that are failures.
    pub(crate) failures: BTreeMap<ActionKey, FailureRecord>,
    pub(crate) format: u32,
    /// What executions said: objects, by action.
    pub(crate) logs: BTreeMap<ActionKey, Digest>,
    /// The name of the study.
    pub(crate) name: String,
    pub(crate) objects: BTreeMap<Digest, Held>,
    /// When, where and how results came about.
    pub(crate) provenance: BTreeMap<ActionKey, Value>,
    /// The results that are outputs, by action. Those from which a file was left out are not among them.
    pub(crate) results: BTreeMap<ActionKey, Digest>,
    pub(crate) study: Digest,
    /// What was left out.
    pub(crate) without: BTreeSet<Without>,
}

/// How a remote holds an object. The fields are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Held {
    /// The length of the file in bytes.
    length: u64,
    /// Whether it is compressed.
    #[serde(default, skip_serializing_if = "is_false")]
    zst: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "`serde` calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl From<Stored> for Held {
    fn from(stored: Stored) -> Self {
        Self { length: stored.length, zst: stored.encoding == Encoding::Zstd }
    }
}

impl Held {
    pub(crate) fn stored(self) -> Stored {
        Stored { encoding: if self.zst { Encoding::Zstd } else { Encoding::Raw }, length: self.length }
    }
}

impl Closure {
    /// Returns an empty closure.
    pub(crate) fn new(name: &str, study: Digest, without: BTreeSet<Without>) -> Self {
        Self {
            failures: BTreeMap::new(),
            format: FORMAT,
            logs: BTreeMap::new(),
            name: name.to_owned(),
            objects: BTreeMap::new(),
            provenance: BTreeMap::new(),
            results: BTreeMap::new(),
            study,
            without,
        }
    }

    /// Returns the bytes: canonical JSON, compressed, with a checksum.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("a closure is plain data with string keys");
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("the level is known");
        encoder.include_checksum(true).expect("nothing is written yet");
        encoder.write_all(&json).and_then(|()| encoder.finish()).expect("memory takes all bytes")
    }

    /// Reads the closure of a study.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn from_bytes(study: &Digest, bytes: &[u8]) -> Result<Self, String> {
        let mut json = Vec::new();
        let decoder = zstd::Decoder::new(bytes).map_err(|error| error.to_string())?;
        decoder.take(LONGEST + 1).read_to_end(&mut json).map_err(|error| error.to_string())?;
        if json.len() as u64 > LONGEST {
            return Err(format!("it has more than {LONGEST} bytes"));
        }
        let closure: Self = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        if closure.format != FORMAT {
            return Err(format!("format {} is not {FORMAT}", closure.format));
        }
        if closure.study != *study {
            return Err(format!("it is of the study {}", closure.study));
        }
        Ok(closure)
    }
}

/// Returns the closure of a study, if a remote has it.
pub(crate) async fn read_closure(bucket: &Bucket, study: &Digest) -> Result<Option<Closure>> {
    let path = layout::closure(study);
    let Some(bytes) = bucket.get(&path, LONGEST).await? else { return Ok(None) };
    let damaged = |reason| RemoteError::Damaged { remote: bucket.name.clone(), path, reason };
    Closure::from_bytes(study, &bytes).map(Some).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_closure_do_not_change_and_no_flipped_byte_is_read() {
        let study = Digest::of(b"study");
        let mut closure = Closure::new("s", study, [Without::Weights].into());
        closure.objects.insert(study, Stored { encoding: Encoding::Zstd, length: 12 }.into());
        closure.logs.insert(ActionKey(study), study);
        let bytes = closure.to_bytes();
        let expected = format!(
            r#"{{"failures":{{}},"format":1,"logs":{{"{study}":"{study}"}},"name":"s","objects":{{"{study}":{{"length":12,"zst":true}}}},"provenance":{{}},"results":{{}},"study":"{study}","without":["weights"]}}"#
        );
        assert_eq!(String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap(), expected);
        assert_eq!(Closure::from_bytes(&study, &bytes), Ok(closure.clone()));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            // Whether a frame says its length is a matter of its header alone.
            assert!(Closure::from_bytes(&study, &flipped).map_or(true, |read| read == closure), "byte {at}");
            assert!(Closure::from_bytes(&study, &bytes[..at]).is_err(), "cut at {at}");
        }
        let other = Closure::from_bytes(&Digest::of(b"other"), &bytes).unwrap_err();
        assert!(other.contains("it is of the study"), "{other}");
    }
}
