//! Amounts of memory and of time, as text with a unit.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Domain, Read};
use crate::problem::{Path, Problem};

/// A number of bytes: `"8GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// A number of seconds: `"90s"`, `"1h30m"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Time(pub f64);

const BYTES: [(&str, f64); 7] = [
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("KiB", 1024.0),
    ("GB", 1e9),
    ("MB", 1e6),
    ("kB", 1e3),
    ("B", 1.0),
];
const TIMES: [(&str, f64); 4] = [("d", 86_400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];

/// Returns the sum of numbers with units: `1h30m`. `None` if the text is something else.
fn sum(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (mut sum, mut rest) = (0.0, text.trim());
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, factor) = units.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        sum += number * factor;
        rest = rest[letters..].trim_start();
    }
    (sum > 0.0 && sum < 9e15).then_some(sum)
}

fn read<T>(
    value: &Value,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
    at: &Path,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let parsed = value.as_str().and_then(parse);
    if parsed.is_none() {
        problems.push(Problem::found(at, value).expected(expected));
    }
    parsed
}

const MEMORY: &str = "an amount of memory with a unit: `\"8GiB\"`, `\"500MiB\"`";
const DURATION: &str = "a time with a unit: `\"90s\"`, `\"1h30m\"`";

impl Read for Bytes {
    fn read(value: &Value, _: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        read(value, MEMORY, |text| sum(text, &BYTES).map(|bytes| Self(bytes as u64)), at, problems)
    }

    fn expected(_: &Domain) -> String {
        MEMORY.to_owned()
    }

    fn brief(_: &Domain) -> String {
        "an amount of memory".to_owned()
    }
}

impl Read for Time {
    fn read(value: &Value, _: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        read(value, DURATION, |text| sum(text, &TIMES).map(Self), at, problems)
    }

    fn expected(_: &Domain) -> String {
        DURATION.to_owned()
    }

    fn brief(_: &Domain) -> String {
        "a time".to_owned()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let gib = self.0 as f64 / BYTES[0].1;
        let text = if gib.fract() == 0.0 { format!("{gib}GiB") } else { format!("{}B", self.0) };
        serializer.serialize_str(&text)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}s", self.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_have_units() {
        let bytes = |text: &str| crate::params::read::<Bytes>(&json!(text)).map(|bytes| bytes.0).ok();
        assert_eq!(bytes("8GiB"), Some(8 << 30));
        assert_eq!(bytes("1.5 GB"), Some(1_500_000_000));
        assert_eq!(["8", "8 gigs", "GiB", "", "-1GiB", "0B"].map(bytes), [None; 6]);
        let time = |text: &str| crate::params::read::<Time>(&json!(text)).map(|time| time.0).ok();
        assert_eq!(time("1h30m"), Some(5400.0));
        assert_eq!(time("0.5s"), Some(0.5));
        assert_eq!(["90", "2 hours", "1h30"].map(time), [None; 3]);
        for text in ["8GiB", "12345B"] {
            let read: Bytes = crate::params::read(&json!(text)).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), json!(text));
        }
    }
}
