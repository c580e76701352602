//! Records that carry their own checksum, because their file is not named by the hash of its bytes.
//!
//! A sealed record is one line of JSON with sorted keys. Its field `check` is the digest of the same line without that field.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::Digest;

const CHECK: &str = "check";

/// Returns a record as a sealed line, without a line feed.
///
/// # Panics
/// If the record is not an object with string keys, or has a field `check`.
pub(crate) fn seal(record: &impl Serialize) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(record) else { panic!("a record is an object") };
    let check = Digest::of(json(&fields).as_bytes()).to_string();
    let before = fields.insert(CHECK.to_owned(), check.into());
    assert!(before.is_none(), "a record has no field `check` of its own");
    json(&fields)
}

/// Reads a sealed line, which must be exactly what [`seal`] writes.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn open<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let mut fields: Map<String, Value> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let check = fields.remove(CHECK).ok_or("it has no checksum")?;
    if check.as_str() != Some(&Digest::of(json(&fields).as_bytes()).to_string()) {
        return Err("its checksum is wrong".to_owned());
    }
    fields.insert(CHECK.to_owned(), check);
    if json(&fields).as_bytes() != line {
        return Err("it is not in canonical form".to_owned());
    }
    fields.remove(CHECK);
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

fn json(fields: &Map<String, Value>) -> String {
    serde_json::to_string(fields).expect("the keys are strings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_no_byte_of_it_can_change() {
        let record = serde_json::json!({ "text": "a \"b\"\n", "at": 17, "list": [1, 2.5] });
        let line = seal(&record);
        assert_eq!(open::<Value>(line.as_bytes()), Ok(record));
        for at in 0..line.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut bytes = line.clone().into_bytes();
                bytes[at] ^= flip;
                assert!(open::<Value>(&bytes).is_err(), "byte {at}");
            }
            assert!(open::<Value>(&line.as_bytes()[..at]).is_err(), "cut at {at}");
        }
        assert!(open::<Value>(format!("{line} ").as_bytes()).is_err());
        assert!(open::<Value>(b"{\"at\":17}").is_err());
    }
}
