//! Records as canonical JSON.

use std::{cell::Cell, io::BufWriter};

use pipe_store::Digest;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// Returns a record's canonical bytes: one line of JSON with sorted keys, and a line feed. A number that may be NaN or
/// infinite must be a [`Float`], because JSON would have `null` for it.
///
/// # Panics
/// Panics if a map in the record has keys that are not strings.
pub fn record(value: &impl Serialize) -> Vec<u8> {
    // `Value` sorts its maps by key, so the order of a struct's fields does not matter.
    sorted_record(&serde_json::to_value(value).expect("records are plain data with string keys"))
}

/// Returns the same bytes as [`record`], faster, for a record whose fields are sorted by name.
///
/// # Panics
/// Panics if [`record`] would. With debug assertions, also panics if the fields are not sorted.
pub fn sorted_record(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("records are plain data with string keys");
    // The check takes many times the record, so large ones are left out. Small ones have the same fields.
    debug_assert!(
        bytes.len() > 1 << 20
            || serde_json::from_slice(&bytes).map(|value: Value| value.to_string()).ok().as_deref()
                == str::from_utf8(&bytes).ok(),
        "the fields must be sorted"
    );
    bytes.push(b'\n');
    bytes
}

/// Returns the digest of the bytes of [`sorted_record`], without holding them.
///
/// # Panics
/// Panics if [`record`] would.
pub fn digest_of_sorted_record(value: &impl Serialize) -> Digest {
    let mut hasher = BufWriter::with_capacity(1 << 16, blake3::Hasher::new());
    serde_json::to_writer(&mut hasher, value).expect("records are plain data with string keys");
    let mut hasher = hasher.into_inner().expect("a hasher takes all bytes");
    hasher.update(b"\n");
    hasher.finalize().into()
}

/// Returns whether `value` is its type's default. `#[serde(default, skip_serializing_if = "params::is_default")]` leaves a
/// parameter at its default out of the action, so that adding a parameter changes no existing key.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

thread_local! {
    /// Whether [`for_programs`] is making JSON on this thread.
    static FOR_PROGRAMS: Cell<bool> = const { Cell::new(false) };
}

/// Calls `make`, which makes JSON for programs other than this one: a [`Float`] that is NaN or infinite is null, so that a number is
/// never a string. It is not for records, which must be read again.
pub fn for_programs<T>(make: impl FnOnce() -> T) -> T {
    let before = FOR_PROGRAMS.replace(true);
    let made = make();
    FOR_PROGRAMS.set(before);
    made
}

/// A number in a record that may be NaN or infinite. Those are written as the strings "NaN", "Infinity" and "-Infinity", and by
/// [`for_programs`] as null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Float(pub f64);

impl Serialize for Float {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            x if !x.is_finite() && FOR_PROGRAMS.get() => serializer.serialize_none(),
            x if x.is_nan() => serializer.serialize_str("NaN"),
            x if x == f64::INFINITY => serializer.serialize_str("Infinity"),
            x if x == f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            x => serializer.serialize_f64(x),
        }
    }
}

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(x) => x.as_f64().map(Self).ok_or_else(|| de::Error::custom("a number beyond f64")),
            Value::String(name) if name == "NaN" => Ok(Self(f64::NAN)),
            Value::String(name) if name == "Infinity" => Ok(Self(f64::INFINITY)),
            Value::String(name) if name == "-Infinity" => Ok(Self(f64::NEG_INFINITY)),
            other => Err(de::Error::custom(format!("expected a number, found {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_null_where_records_have_a_string() {
        let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5].map(Float);
        let made = for_programs(|| serde_json::to_string(&("NaN", floats)).unwrap());
        assert_eq!(made, "[\"NaN\",[null,null,null,0.5]]");
        assert_eq!(sorted_record(&floats), b"[\"NaN\",\"Infinity\",\"-Infinity\",0.5]\n");
    }

    #[test]
    fn records_do_not_depend_on_the_order_of_fields() {
        #[derive(Serialize)]
        struct Unsorted {
            b: u8,
            a: Float,
        }
        assert_eq!(record(&Unsorted { b: 1, a: Float(f64::NAN) }), b"{\"a\":\"NaN\",\"b\":1}\n");
        let sorted: Vec<u32> = (0..50_000).collect();
        assert_eq!(digest_of_sorted_record(&sorted), Digest::of(&sorted_record(&sorted)));
    }
}
