//! Reads and writes tensors as safetensors files, which NumPy, PyTorch and many tools can read. Names are sorted and there is no
//! metadata, so equal values have equal bytes.

use std::collections::BTreeMap;

use pipe_store::Bytes;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::stage::StageError;

/// Writes a safetensors file. Adding two tensors with the same name panics.
#[derive(Debug, Default)]
pub struct TensorsWriter {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

impl TensorsWriter {
    /// Adds a tensor of bytes.
    pub fn u8(&mut self, name: impl Into<String>, shape: &[usize], values: Vec<u8>) {
        self.insert(name.into(), Dtype::U8, shape, values);
    }

    /// Adds a tensor of 32-bit integers.
    pub fn i32(&mut self, name: impl Into<String>, shape: &[usize], values: &[i32]) {
        self.insert(name.into(), Dtype::I32, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect());
    }

    /// Adds a tensor of 32-bit floats.
    pub fn f32(&mut self, name: impl Into<String>, shape: &[usize], values: &[f32]) {
        self.insert(name.into(), Dtype::F32, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect());
    }

    fn insert(&mut self, name: String, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) {
        let previous = self.tensors.insert(name, (dtype, shape.to_vec(), bytes));
        assert!(previous.is_none(), "a tensor must be written only once");
    }

    /// Returns the bytes of the file.
    ///
    /// # Panics
    /// Panics if a tensor's shape does not fit its number of values.
    pub fn finish(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, (dtype, shape, bytes))| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).expect("the shape must fit the values");
            (name.as_str(), view)
        });
        safetensors::serialize(views, None).expect("names are unique")
    }
}

/// The most bytes of a header, which has about 100 for each tensor. A parsed header takes ten times that.
pub const HEADER: u64 = 8 << 20;

/// Returns the length of the header of the safetensors file `bytes`.
///
/// # Errors
/// If there is none, or it is longer than [`HEADER`] or the file.
pub fn header_length(bytes: &[u8]) -> Result<usize, String> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Err(format!("found {} bytes, expected a header", bytes.len()));
    };
    match u64::from_le_bytes(*length) {
        length if length > rest.len() as u64 => {
            Err(format!("the header is said to have {length} bytes, and {} follow", rest.len()))
        }
        length if length > HEADER => Err(format!("the header has {length} bytes, expected at most {HEADER}")),
        length => Ok(length as usize),
    }
}

/// Reads a safetensors file.
pub struct TensorsReader {
    bytes: Bytes,
    /// name -> (type, shape, range in `bytes`)
    entries: BTreeMap<String, (Dtype, Vec<usize>, std::ops::Range<usize>)>,
}

impl TensorsReader {
    /// Returns a reader of the file `bytes`. It keeps the bytes without copying them.
    ///
    /// # Errors
    /// If `bytes` is not a safetensors file.
    pub fn new(bytes: Bytes) -> Result<Self, StageError> {
        let not_one = |why: String| StageError::failed(format!("not a safetensors file: {why}"));
        header_length(&bytes).map_err(not_one)?;
        let entries = {
            // It also refuses tensors that overlap, leave gaps or have another size than their shape.
            let file = SafeTensors::deserialize(&bytes).map_err(|error| not_one(error.to_string()))?;
            let start = bytes.as_ptr() as usize;
            file.iter()
                .map(|(name, view)| {
                    let begin = view.data().as_ptr() as usize - start;
                    (name.to_owned(), (view.dtype(), view.shape().to_vec(), begin..begin + view.data().len()))
                })
                .collect()
        };
        Ok(Self { bytes, entries })
    }

    /// Returns the tensors' names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Returns the shape of the tensor `name`, or `None` if the file has none.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|(_, shape, _)| shape.as_slice())
    }

    /// Returns the values and the shape of a tensor of bytes.
    ///
    /// # Errors
    /// If there is no tensor `name`, or it holds another type.
    pub fn u8(&self, name: &str) -> Result<(&[u8], &[usize]), StageError> {
        self.get(name, Dtype::U8)
    }

    /// Returns the values and the shape of a tensor of 32-bit integers.
    ///
    /// # Errors
    /// If there is no tensor `name`, or it holds another type.
    pub fn i32(&self, name: &str) -> Result<(Vec<i32>, &[usize]), StageError> {
        let (bytes, shape) = self.get(name, Dtype::I32)?;
        Ok((bytes.as_chunks().0.iter().map(|x| i32::from_le_bytes(*x)).collect(), shape))
    }

    /// Returns the values and the shape of a tensor of 32-bit floats.
    ///
    /// # Errors
    /// If there is no tensor `name`, or it holds another type.
    pub fn f32(&self, name: &str) -> Result<(Vec<f32>, &[usize]), StageError> {
        let (bytes, shape) = self.get(name, Dtype::F32)?;
        Ok((bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect(), shape))
    }

    fn get(&self, name: &str, expected: Dtype) -> Result<(&[u8], &[usize]), StageError> {
        match self.entries.get(name) {
            Some((dtype, shape, range)) if *dtype == expected => Ok((&self.bytes[range.clone()], shape)),
            Some((dtype, ..)) => {
                Err(StageError::failed(format!("tensor `{name}` holds {dtype:?}, expected {expected:?}")))
            }
            None => Err(StageError::failed(format!("there is no tensor `{name}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(length: u64, header: &str, data: usize, expected: &str) {
        let bytes = [&length.to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat();
        let error = TensorsReader::new(bytes.into()).err().unwrap().to_string();
        assert_eq!(error, format!("not a safetensors file: {expected}"));
    }

    #[test]
    fn headers_that_cannot_be_are_refused() {
        let error = TensorsReader::new(vec![1, 2].into()).err().unwrap().to_string();
        assert_eq!(error, "not a safetensors file: found 2 bytes, expected a header");
        check(1 << 63, "{}", 0, "the header is said to have 9223372036854775808 bytes, and 2 follow");
        check(u64::MAX, "{}", 0, "the header is said to have 18446744073709551615 bytes, and 2 follow");
        let long = format!("{{{}}}", " ".repeat(9 << 20));
        check(long.len() as u64, &long, 0, "the header has 9437186 bytes, expected at most 8388608");
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        let error = TensorsReader::new([&(deep.len() as u64).to_le_bytes()[..], deep.as_bytes()].concat().into());
        assert!(error.err().unwrap().to_string().starts_with("not a safetensors file: invalid JSON in header"));
    }

    #[test]
    fn tensors_that_overlap_leave_gaps_or_have_another_size_are_refused() {
        let tensor = |shape: &str, from: u64, to: u64| {
            format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}"#)
        };
        let two = |a: &str, b: &str| format!(r#"{{"a":{a},"b":{b}}}"#);
        let refused = |header: &str, data: usize| {
            let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat();
            assert!(TensorsReader::new(bytes.into()).is_err(), "{header}");
        };
        refused(&two(&tensor("[2]", 0, 8), &tensor("[2]", 4, 12)), 12);
        refused(&two(&tensor("[2]", 0, 8), &tensor("[2]", 12, 20)), 20);
        refused(&two(&tensor("[2]", 0, 8), &tensor("[2]", 0, 8)), 8);
        refused(&two(&tensor("[2]", 0, 8), &tensor("[1]", 8, 16)), 16);
        refused(&two(&tensor("[2]", 0, 8), &tensor("[2]", 8, 4)), 16);
        refused(&two(&tensor("[2]", 0, 8), &tensor("[2]", 8, u64::MAX)), 16);
        refused(&two(&tensor("[2]", 0, 8), &tensor("[4611686018427387904,4,2]", 8, 16)), 16);
        refused(&two(&tensor("[2]", 0, 8), &tensor("[2]", 8, 16)), 17);
    }

    #[test]
    fn equal_values_have_equal_bytes_and_are_read_back() {
        let write = |names: [&str; 2]| {
            let mut writer = TensorsWriter::default();
            for name in names {
                writer.f32(name, &[2, 1], &[1.5, -0.0]);
            }
            writer.u8("images", &[3], vec![1, 2, 3]);
            writer.finish()
        };
        assert_eq!(write(["a", "b"]), write(["b", "a"]));
        let reader = TensorsReader::new(write(["a", "b"]).into()).unwrap();
        assert_eq!(reader.f32("a").unwrap(), (vec![1.5, -0.0], &[2, 1][..]));
        assert_eq!(reader.u8("images").unwrap().0, [1, 2, 3]);
        assert!(reader.f32("images").is_err() && reader.u8("no").is_err());
    }
}
