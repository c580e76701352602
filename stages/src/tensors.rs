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
        let entries = {
            let file = SafeTensors::deserialize(&bytes)
                .map_err(|error| StageError::failed(format!("not a safetensors file: {error}")))?;
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
