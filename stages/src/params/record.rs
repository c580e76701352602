//! Records as canonical JSON.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

/// Returns a record's canonical bytes: one line of JSON with sorted keys and a line feed.
///
/// # Panics
/// If the record holds a map whose keys are no strings, or a number that is not finite: write those as [`Float`].
pub fn record(value: &impl Serialize) -> Vec<u8> {
    // Through `Value`, whose map is sorted by key, so that the order of a struct's fields cannot matter.
    sorted_record(&serde_json::to_value(value).expect("records are plain data with string keys"))
}

/// Returns the canonical bytes of a record whose fields are in the order of their names, as [`record`] does, faster.
///
/// # Panics
/// As [`record`]; in a build with debug assertions, if the fields are not sorted.
pub fn sorted_record(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("records are plain data with string keys");
    debug_assert_eq!(
        serde_json::from_slice(&bytes).map(|value: Value| value.to_string()).ok().as_deref(),
        str::from_utf8(&bytes).ok(),
        "the fields are sorted"
    );
    bytes.push(b'\n');
    bytes
}

/// Returns whether `value` is its type's default: `#[serde(default, skip_serializing_if = "params::is_default")]` leaves a
/// parameter at its default out of the action, so that a new parameter keeps old keys.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Defines, for each parameter whose default is not its type's, a type called like it with `value()` and `is(&value)`, for
/// `#[serde(default = "name::value", skip_serializing_if = "name::is")]`.
#[macro_export]
macro_rules! defaults {
    ($($name:ident: $type:ty = $value:expr;)*) => { $(
        #[expect(non_camel_case_types, reason = "it is called like the parameter")]
        pub(crate) enum $name {}

        impl $name {
            pub(crate) fn value() -> $type { $value }
            pub(crate) fn is(value: &$type) -> bool { *value == Self::value() }
        }
    )* };
}

/// A number in a record that may be no number: non-finite ones are the strings "NaN", "Infinity" and "-Infinity".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Float(pub f64);

impl Serialize for Float {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
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
    fn records_do_not_depend_on_the_order_of_fields() {
        #[derive(Serialize)]
        struct Unsorted {
            b: u8,
            a: Float,
        }
        assert_eq!(record(&Unsorted { b: 1, a: Float(f64::NAN) }), b"{\"a\":\"NaN\",\"b\":1}\n");
    }
}
