//! Files of named arrays of numbers: safetensors, and numpy's `.npy` and `.npz`
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
};

use pipe_stages::tensors::TensorsReader;
use pipe_store::Bytes;
use zip::ZipArchive;

/// A file of arrays.
pub(crate) enum ArrayFile {
    Safetensors(TensorsReader),
    /// The arrays of an `.npz` file, each as an `.npy` file. An `.npy` file has one, called `array`.
    Numpy(BTreeMap<String, Vec<u8>>),
}

/// An array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    /// The type of its numbers, as the file has it: `f32`, `<f4`.
    pub(crate) kind: String,
    pub(crate) shape: Vec<usize>,
    /// The numbers in the order of the file.
    pub(crate) values: Vec<f64>,
}

impl ArrayFile {
    /// Reads a file whose name says that it has arrays. Returns `None` if the name says otherwise or is wrong.
    pub(crate) fn read(path: &str, bytes: &Bytes) -> Option<Self> {
        match path.rsplit('.').next()? {
            "safetensors" => TensorsReader::new(bytes.clone()).ok().map(Self::Safetensors),
            "npy" => Some(Self::Numpy([("array".to_owned(), bytes.to_vec())].into())),
            "npz" => {
                let mut archive = ZipArchive::new(Cursor::new(&**bytes)).ok()?;
                let mut arrays = BTreeMap::new();
                for index in 0..archive.len() {
                    let mut member = archive.by_index(index).ok()?;
                    let mut npy = Vec::new();
                    member.read_to_end(&mut npy).ok()?;
                    arrays.insert(member.name().ok()?.trim_end_matches(".npy").to_owned(), npy);
                }
                Some(Self::Numpy(arrays))
            }
            _ => None,
        }
    }

    /// Returns the names of the arrays, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Safetensors(file) => file.names().collect(),
            Self::Numpy(arrays) => arrays.keys().map(String::as_str).collect(),
        }
    }

    /// Returns whether both files have the same bytes for an array of numpy, whatever is in it.
    pub(crate) fn has_same_bytes(&self, other: &Self, name: &str) -> bool {
        match (self, other) {
            (Self::Numpy(old), Self::Numpy(new)) => old.get(name).is_some_and(|npy| new.get(name) == Some(npy)),
            _ => false,
        }
    }

    /// Returns an array, if it is there and has numbers of a type that is known here.
    pub(crate) fn array(&self, name: &str) -> Option<Array> {
        match self {
            Self::Safetensors(file) => {
                let shape = file.shape(name)?.to_vec();
                let (kind, values) = if let Ok((values, _)) = file.u8(name) {
                    ("u8", values.iter().copied().map(f64::from).collect())
                } else if let Ok((values, _)) = file.i32(name) {
                    ("i32", values.into_iter().map(f64::from).collect())
                } else {
                    ("f32", file.f32(name).ok()?.0.into_iter().map(f64::from).collect())
                };
                Some(Array { kind: kind.to_owned(), shape, values })
            }
            Self::Numpy(arrays) => npy(arrays.get(name)?),
        }
    }
}

/// Reads an `.npy` file of numbers.
fn npy(bytes: &[u8]) -> Option<Array> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (header, data) = match rest.first()? {
        1 => {
            let length = u16::from_le_bytes(rest.get(2..4)?.try_into().ok()?);
            rest.get(4..)?.split_at_checked(length.into())?
        }
        2 | 3 => {
            let length = u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?);
            rest.get(6..)?.split_at_checked(usize::try_from(length).ok()?)?
        }
        _ => return None,
    };
    // {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
    let header = std::str::from_utf8(header).ok()?;
    let after = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let kind = after("descr")?.strip_prefix('\'')?.split_once('\'')?.0;
    let shape = after("shape")?.strip_prefix('(')?.split_once(')')?.0;
    let shape: Vec<usize> = shape
        .split(',')
        .map(str::trim)
        .filter(|length| !length.is_empty())
        .map(|length| length.parse().ok())
        .collect::<Option<_>>()?;
    let values = values(kind, data)?;
    // Two orders are two types, since the values are in the order of the file.
    let order = if after("fortran_order")?.starts_with("True") { " by columns" } else { "" };
    (values.len() == shape.iter().product::<usize>()).then(|| Array { kind: format!("{kind}{order}"), shape, values })
}

/// Returns numbers of a type such as `<f4`: the order of their bytes, their kind, and the number of their bytes.
fn values(kind: &str, data: &[u8]) -> Option<Vec<f64>> {
    let (order, kind) = kind.split_at_checked(1)?;
    macro_rules! numbers {
        ($type:ty, $into:expr) => {{
            let (numbers, []) = data.as_chunks::<{ size_of::<$type>() }>() else { return None };
            let read = |bytes: &[u8; size_of::<$type>()]| match order {
                ">" => <$type>::from_be_bytes(*bytes),
                _ => <$type>::from_le_bytes(*bytes),
            };
            Some(numbers.iter().map(|bytes| $into(read(bytes))).collect())
        }};
    }
    match kind {
        "f4" => numbers!(f32, f64::from),
        "f8" => numbers!(f64, |x| x),
        "i1" => numbers!(i8, f64::from),
        "i2" => numbers!(i16, f64::from),
        "i4" => numbers!(i32, f64::from),
        "i8" => numbers!(i64, |x| x as f64),
        "u1" | "b1" => numbers!(u8, f64::from),
        "u2" => numbers!(u16, f64::from),
        "u4" => numbers!(u32, f64::from),
        "u8" => numbers!(u64, |x| x as f64),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// Returns an `.npy` file as numpy writes it.
    pub(crate) fn npy_file(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
        while (header.len() + 11) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), data].concat()
    }

    /// Returns an `.npz` file with these arrays.
    pub(crate) fn npz_file(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, npy) in arrays {
            zip.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
            zip.write_all(npy).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn arrays_of_numpy_are_read() {
        let floats: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let numbers: Vec<u8> = [7_i64, -1, 0].iter().flat_map(|x| x.to_be_bytes()).collect();
        let file = npz_file(&[
            ("weights", npy_file("<f4", "(2, 1)", &floats)),
            ("n", npy_file(">i8", "(3,)", &numbers)),
            ("flag", npy_file("|b1", "()", &[1])),
            ("words", npy_file("<U2", "(1,)", &[0; 8])),
        ]);
        let file = ArrayFile::read("a/model.npz", &file.into()).unwrap();
        assert_eq!(file.names(), ["flag", "n", "weights", "words"]);
        let array = |kind: &str, shape: &[usize], values: &[f64]| {
            Some(Array { kind: kind.into(), shape: shape.into(), values: values.into() })
        };
        assert_eq!(file.array("weights"), array("<f4", &[2, 1], &[1.5, -2.0]));
        assert_eq!(file.array("n"), array(">i8", &[3], &[7.0, -1.0, 0.0]));
        assert_eq!(file.array("flag"), array("|b1", &[], &[1.0]));
        assert_eq!(file.array("words"), None);
        assert_eq!(file.array("other"), None);
        // Cut, and with a shape that is not the data's.
        assert!(ArrayFile::read("a.npz", &b"PK".to_vec().into()).is_none());
        let cut = npy_file("<f4", "(2, 1)", &floats[..7]);
        assert_eq!(ArrayFile::read("a.npy", &cut.into()).unwrap().array("array"), None);
        let other = npy_file("<f4", "(3,)", &floats);
        assert_eq!(ArrayFile::read("a.npy", &other.into()).unwrap().array("array"), None);
    }
}
