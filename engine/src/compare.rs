//! Compares two results of an action: whether they are equal, and otherwise where they differ first, and by how much.

use std::{collections::BTreeSet, fmt};

use pipe_stages::records::TrainingHistory;
use pipe_store::{ActionResult, Bytes, Digest, ObjectSource, Store, StoreError};
use serde::Serialize;
use serde_json::Value;

use crate::{arrays::ArrayFile, leaves};

/// How a result differs from the committed one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ResultDifference {
    /// One of them is a failure, or both are, with different messages.
    Outcome {
        /// The committed outcome.
        committed: String,
        /// The outcome now.
        found: String,
    },
    /// Output files differ.
    Files {
        /// The first file that differs, in the order of paths.
        path: String,
        /// How it differs.
        how: FileDifference,
        /// The number of files that differ.
        files: usize,
        /// For a training: the first epoch that differs.
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<usize>,
    },
}

/// How a file differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FileDifference {
    /// It was not written now.
    Missing,
    /// It was not written before.
    Extra,
    /// A tensor.
    Tensor {
        /// The first tensor that differs.
        tensor: String,
        /// The largest absolute difference in all tensors. `None` if names, types or shapes differ.
        largest: Option<f64>,
    },
    /// A value of a record.
    Value {
        /// The first value that differs, with both values.
        change: String,
        /// The largest absolute difference of all numbers.
        largest: Option<f64>,
    },
    /// A line of a text.
    Line {
        /// Its number, from 1.
        line: usize,
        /// The largest absolute difference of all numbers in a table.
        largest: Option<f64>,
    },
    /// A byte.
    Byte {
        /// Its offset, from 0.
        at: usize,
        /// The length of the committed file.
        committed: usize,
        /// The length of the file now.
        found: usize,
    },
}

/// By how much two results may differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Each number in JSON, CSV, safetensors and numpy files by this part of itself. Everything else is equal.
    Numbers(f64),
    /// As much as two computations on a GPU may: each number of an array by this part of the array's largest, and numbers in JSON and CSV
    /// files by this part of themselves, or by this if they are smaller than 1. Digests, and files of other kinds such as pictures, are
    /// not compared.
    Device(f64),
}

impl Tolerance {
    /// Returns whether two numbers are near enough. `largest` is the largest of their array, or 1.
    fn is_near(self, old: f64, new: f64, largest: f64) -> bool {
        let size = old.abs().max(new.abs());
        let most = match self {
            Self::Numbers(tolerance) => tolerance * size,
            Self::Device(tolerance) => tolerance * size.max(largest),
        };
        old.to_bits() == new.to_bits() || (old - new).abs() <= most
    }

    /// Returns whether two texts are near enough.
    fn is_alike(self, old: &str, new: &str) -> bool {
        let are_digests = || [old, new].iter().all(|text| text.parse::<Digest>().is_ok());
        old == new || matches!(self, Self::Device(_)) && are_digests()
    }
}

/// Compares a result in `scratch` with the committed one in `store`. Returns `None` if they are equal, or differ by no more than
/// `tolerance`.
///
/// # Errors
/// If a file of one of them cannot be read.
pub fn compare(
    store: &Store,
    committed: &ActionResult,
    scratch: &Store,
    found: &ActionResult,
    tolerance: Option<Tolerance>,
) -> Result<Option<ResultDifference>, StoreError> {
    let (old, new) = match (committed, found) {
        (old, new) if old == new => return Ok(None),
        (ActionResult::Tree(old), ActionResult::Tree(new)) => (store.tree(old)?, scratch.tree(new)?),
        (old, new) => {
            let text = |result: &ActionResult| match result {
                ActionResult::Tree(_) => "it has outputs".to_owned(),
                ActionResult::Failure(failure) => failure.message.clone(),
            };
            return Ok(Some(ResultDifference::Outcome { committed: text(old), found: text(new) }));
        }
    };
    let paths: BTreeSet<&String> = old.files.keys().chain(new.files.keys()).collect();
    let digests =
        |path: &str| (old.files.get(path).map(|file| file.digest), new.files.get(path).map(|file| file.digest));
    let mut differing: Vec<&String> = paths
        .into_iter()
        .filter(|path| {
            let (old, new) = digests(path);
            old != new
        })
        .collect();
    if let Some(tolerance) = tolerance {
        let mut beyond = Vec::new();
        for path in differing {
            let close = match digests(path) {
                (Some(old), Some(new)) => is_close(path, &store.read(&old)?, &scratch.read(&new)?, tolerance),
                _ => false,
            };
            beyond.extend((!close).then_some(path));
        }
        differing = beyond;
    }
    let read = |path: &str, old: Digest, new: Digest| -> Result<_, StoreError> {
        Ok(of_file(path, &store.read(&old)?, &scratch.read(&new)?))
    };
    let Some(path) = differing.first() else { return Ok(None) };
    let how = match digests(path) {
        (Some(old), Some(new)) => read(path, old, new)?,
        (Some(_), None) => FileDifference::Missing,
        _ => FileDifference::Extra,
    };
    let epoch = match digests(TrainingHistory::FILE) {
        (Some(old), Some(new)) if old != new => first_epoch(&store.read(&old)?, &scratch.read(&new)?),
        _ => None,
    };
    Ok(Some(ResultDifference::Files { path: (*path).clone(), how, files: differing.len(), epoch }))
}

/// Returns the first epoch in which two histories differ.
fn first_epoch(old: &[u8], new: &[u8]) -> Option<usize> {
    let (old, new) = (TrainingHistory::read(old).ok()?, TrainingHistory::read(new).ok()?);
    let equal = old.rows.iter().zip(&new.rows).take_while(|(old, new)| old == new).count();
    Some(equal + 1)
}

fn of_file(path: &str, old: &Bytes, new: &Bytes) -> FileDifference {
    let how = match path.rsplit('.').next() {
        Some("safetensors" | "npy" | "npz") => tensors(path, old, new),
        Some("json") => record(old, new),
        Some("csv" | "txt") => lines(old, new),
        _ => None,
    };
    how.unwrap_or_else(|| FileDifference::Byte {
        at: old.iter().zip(new.iter()).take_while(|(old, new)| old == new).count(),
        committed: old.len(),
        found: new.len(),
    })
}

/// Returns whether two files differ by no more than `tolerance`.
fn is_close(path: &str, old: &Bytes, new: &Bytes, tolerance: Tolerance) -> bool {
    match path.rsplit('.').next() {
        Some("json") => match [old, new].map(|bytes| serde_json::from_slice(bytes)) {
            [Ok(old), Ok(new)] => is_value_close(&old, &new, tolerance),
            _ => false,
        },
        Some("csv" | "txt") => {
            let rows = |bytes: &Bytes| -> Option<Vec<Vec<String>>> {
                let text = std::str::from_utf8(bytes).ok()?;
                Some(text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect())
            };
            let cell = |(old, new): (&String, &String)| {
                let numbers = old.parse().ok().zip(new.parse().ok());
                tolerance.is_alike(old, new) || numbers.is_some_and(|(old, new)| tolerance.is_near(old, new, 1.0))
            };
            let line =
                |(old, new): (&Vec<String>, &Vec<String>)| old.len() == new.len() && old.iter().zip(new).all(cell);
            rows(old).zip(rows(new)).is_some_and(|(old, new)| old.len() == new.len() && old.iter().zip(&new).all(line))
        }
        Some("safetensors" | "npy" | "npz") => match [old, new].map(|bytes| ArrayFile::read(path, bytes)) {
            [Some(old), Some(new)] => {
                old.names() == new.names()
                    && old.names().iter().all(|name| {
                        old.has_same_bytes(&new, name)
                            || old.array(name).zip(new.array(name)).is_some_and(|(old, new)| {
                                let largest = old.values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
                                let mut pairs = old.values.iter().zip(&new.values);
                                (old.kind, old.shape) == (new.kind, new.shape)
                                    && pairs.all(|(old, new)| tolerance.is_near(*old, *new, largest))
                            })
                    })
            }
            _ => false,
        },
        _ => matches!(tolerance, Tolerance::Device(_)),
    }
}

fn is_value_close(old: &Value, new: &Value, tolerance: Tolerance) -> bool {
    match (old, new) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| tolerance.is_near(a, b, 1.0))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_value_close(a, b, tolerance))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_value_close(a, b, tolerance)))
        }
        (Value::String(a), Value::String(b)) => tolerance.is_alike(a, b),
        (a, b) => a == b,
    }
}

fn tensors(path: &str, old: &Bytes, new: &Bytes) -> Option<FileDifference> {
    let (old, new) = (ArrayFile::read(path, old)?, ArrayFile::read(path, new)?);
    let names: BTreeSet<&str> = old.names().into_iter().chain(new.names()).collect();
    let (mut first, mut largest) = (None, Some(0.0_f64));
    for name in names {
        if old.has_same_bytes(&new, name) {
            continue;
        }
        let difference = match (old.array(name), new.array(name)) {
            (Some(old), Some(new)) if (&old.kind, &old.shape) == (&new.kind, &new.shape) => {
                let pairs = old.values.iter().zip(&new.values).filter(|(old, new)| old.to_bits() != new.to_bits());
                // NaN against a number is as different as can be.
                let sizes =
                    pairs.map(|(old, new)| if (old - new).is_nan() { f64::INFINITY } else { (old - new).abs() });
                match sizes.reduce(f64::max) {
                    None => continue,
                    size => size,
                }
            }
            _ => None,
        };
        first.get_or_insert(name);
        largest = largest.zip(difference).map(|(largest, size)| largest.max(size));
    }
    Some(FileDifference::Tensor { tensor: first?.to_owned(), largest })
}

fn record(old: &[u8], new: &[u8]) -> Option<FileDifference> {
    let [old, new] = [old, new].map(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let mut changes = Vec::new();
    leaves::changes("", Some(&old?), Some(&new?), &mut changes);
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64);
    let sizes = changes.iter().filter_map(|change| Some((number(&change.old)? - number(&change.new)?).abs()));
    let largest = sizes.reduce(f64::max);
    Some(FileDifference::Value { change: changes.first()?.to_string(), largest })
}

fn lines(old: &[u8], new: &[u8]) -> Option<FileDifference> {
    let (old, new) = (std::str::from_utf8(old).ok()?, std::str::from_utf8(new).ok()?);
    let line = old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count() + 1;
    let cells = old.lines().zip(new.lines()).flat_map(|(old, new)| old.split(',').zip(new.split(',')));
    let sizes = cells.filter(|(old, new)| old != new).filter_map(|(old, new)| {
        let (old, new) = (old.parse::<f64>().ok()?, new.parse::<f64>().ok()?);
        Some((old - new).abs())
    });
    Some(FileDifference::Line { line, largest: sizes.reduce(f64::max) })
}

impl fmt::Display for ResultDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcome { committed, found } => write!(f, "committed: {committed}; now: {found}"),
            Self::Files { path, how, files, epoch } => {
                if let Some(epoch) = epoch {
                    write!(f, "from epoch {epoch} on; ")?;
                }
                write!(f, "`{path}`: {how}")?;
                match files - 1 {
                    0 => Ok(()),
                    1 => write!(f, "; 1 more file differs"),
                    n => write!(f, "; {n} more files differ"),
                }
            }
        }
    }
}

impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by =
            |largest: &Option<f64>| largest.map_or_else(String::new, |largest| format!(", by at most {largest:.1e}"));
        match self {
            Self::Missing => write!(f, "it was written before and is not now"),
            Self::Extra => write!(f, "it is written now and was not before"),
            Self::Tensor { tensor, largest: None } => write!(f, "tensor `{tensor}` has another type or shape"),
            Self::Tensor { tensor, largest } => write!(f, "tensor `{tensor}` differs{}", by(largest)),
            Self::Value { change, largest } => write!(f, "{change}{}", by(largest)),
            Self::Line { line, largest } => write!(f, "line {line} differs{}", by(largest)),
            Self::Byte { at, committed, found } if committed == found => write!(f, "byte {at} of {found} differs"),
            Self::Byte { at, committed, found } => {
                write!(f, "byte {at} differs, and it has {found} bytes instead of {committed}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pipe_stages::tensors::TensorsWriter;

    use super::*;
    use crate::arrays::tests::{npy_file, npz_file};

    fn check(path: &str, old: &[u8], new: &[u8], expected: &str) {
        assert_eq!(of_file(path, &old.to_vec().into(), &new.to_vec().into()).to_string(), expected);
    }

    #[test]
    fn the_first_difference_and_the_size_of_the_largest_are_found() {
        check("a.json", b"{\"a\":1,\"b\":[1,2]}", b"{\"a\":1.5,\"b\":[1,4]}", "a 1 -> 1.5, by at most 2.0e0");
        check("a.json", b"{\"a\":\"x\"}", b"{\"a\":\"y\"}", "a \"x\" -> \"y\"");
        check("a.csv", b"a,b\n1,2\n3,4\n", b"a,b\n1,2\n3,4.25\n", "line 3 differs, by at most 2.5e-1");
        check("a.csv", b"a\n", b"a\nb\n", "line 2 differs");
        check("a.png", b"abc", b"abd", "byte 2 of 3 differs");
        check("a.png", b"abc", b"ab", "byte 2 differs, and it has 2 bytes instead of 3");
        // What is not what its name says is compared byte by byte.
        check("a.json", b"abc", b"axc", "byte 1 of 3 differs");
    }

    #[test]
    fn files_are_close_if_only_numbers_differ_by_little() {
        let close = |path: &str, old: &[u8], new: &[u8]| {
            is_close(path, &old.to_vec().into(), &new.to_vec().into(), Tolerance::Numbers(1e-3))
        };
        assert!(close("a.json", b"{\"a\":[1000,\"x\"]}", b"{\"a\":[1000.5,\"x\"]}"));
        for other in [&b"{\"a\":[1002,\"x\"]}"[..], b"{\"a\":[1000,\"y\"]}", b"{\"a\":[1000]}", b"{\"b\":[1000,\"x\"]}"]
        {
            assert!(!close("a.json", b"{\"a\":[1000,\"x\"]}", other));
        }
        assert!(close("a.csv", b"a,b\nx,1\n", b"a,b\nx,1.0005\n"));
        assert!(!close("a.csv", b"a,b\nx,1\n", b"a,b\nx,1\nx,1\n") && !close("a.csv", b"a\n1\n", b"a\n2\n"));
        assert!(!close("a.bin", b"1", b"2"));
        let npz = |x: f64, words: &[u8]| {
            npz_file(&[("x", npy_file("<f8", "(1,)", &x.to_le_bytes())), ("words", npy_file("<U1", "(1,)", words))])
        };
        let old = npz(1.0, b"a\0\0\0");
        assert!(close("a.npz", &old, &npz(1.0005, b"a\0\0\0")));
        assert!(!close("a.npz", &old, &npz(1.5, b"a\0\0\0")) && !close("a.npz", &old, &npz(1.0, b"b\0\0\0")));
        check("a.npz", &old, &npz(1.5, b"a\0\0\0"), "tensor `x` differs, by at most 5.0e-1");
        check("a.npz", &old, &npz(1.0, b"b\0\0\0"), "tensor `words` has another type or shape");
    }

    #[test]
    fn tensors_are_compared_by_value() {
        let file = |kernel: &[f32], labels: &[i32]| {
            let mut writer = TensorsWriter::default();
            writer.f32("kernel", &[kernel.len()], kernel);
            writer.i32("labels", &[labels.len()], labels);
            writer.finish()
        };
        let old = file(&[1.0, 2.0], &[3]);
        check("w.safetensors", &old, &file(&[1.0, 2.5], &[3]), "tensor `kernel` differs, by at most 5.0e-1");
        check("w.safetensors", &old, &file(&[1.0, 2.5], &[7]), "tensor `kernel` differs, by at most 4.0e0");
        check("w.safetensors", &old, &file(&[1.0, 2.0], &[4]), "tensor `labels` differs, by at most 1.0e0");
        check("w.safetensors", &old, &file(&[1.0], &[3]), "tensor `kernel` has another type or shape");
        check("w.safetensors", &file(&[0.0], &[3]), &file(&[-0.0], &[3]), "tensor `kernel` differs, by at most 0.0e0");
        check(
            "w.safetensors",
            &file(&[0.0], &[3]),
            &file(&[f32::NAN], &[3]),
            "tensor `kernel` differs, by at most inf",
        );
    }

    /// Two computations on a GPU give other digests and nearly the same numbers.
    #[test]
    fn what_a_gpu_may_change_is_no_difference() {
        let close = |path: &str, old: &str, new: &str| {
            is_close(path, &old.as_bytes().to_vec().into(), &new.as_bytes().to_vec().into(), Tolerance::Device(0.02))
        };
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert!(close("score.json", r#"{"value":0.51,"loss":7.0}"#, r#"{"value":0.529,"loss":7.1}"#));
        assert!(!close("score.json", r#"{"value":0.51}"#, r#"{"value":0.54}"#));
        assert!(!close("score.json", r#"{"status":"completed"}"#, r#"{"status":"diverged"}"#));
        assert!(close("history.csv", &format!("1,2.5,{a}\n"), &format!("1,2.51,{b}\n")));
        assert!(!close("history.csv", &format!("1,2.5,{a}\n"), &format!("2,2.5,{b}\n")));
        assert!(close("filters.png", "one", "two"));
    }
}
