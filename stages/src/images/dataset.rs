//! Reads and writes the splits of a dataset.

use std::collections::BTreeMap;

use pipe_store::Bytes;

pub use crate::records::{Head, ImageShape, Labels};
use crate::{
    stage::StageError,
    tensors::{TensorsReader, TensorsWriter},
};

/// The name of the tensor of images. A head must not have this name.
const IMAGES: &str = "images";

/// One split of a dataset: images `u8 [n, c, h, w]`, and labels `i32 [n]` for each head.
pub struct Dataset {
    tensors: TensorsReader,
    shape: [usize; 4],
    labels: BTreeMap<String, Vec<i32>>,
}

impl Dataset {
    /// Reads the split in `bytes`, a file that `decode` wrote. Images are not copied.
    ///
    /// # Errors
    /// If `bytes` is not a safetensors file, or the shapes of its tensors do not fit.
    pub fn read(bytes: Bytes) -> Result<Self, StageError> {
        let tensors = TensorsReader::new(bytes)?;
        let (_, shape) = tensors.u8(IMAGES)?;
        let shape = <[usize; 4]>::try_from(shape)
            .map_err(|_| StageError::failed(format!("tensor `images` has shape {shape:?}, expected [n, c, h, w]")))?;
        ImageShape::of([shape[1], shape[2], shape[3]])
            .map_err(|why| StageError::failed(format!("tensor `images` cannot be read: {why}")))?;
        let mut labels = BTreeMap::new();
        for head in tensors.names().filter(|name| *name != IMAGES) {
            let (values, found) = tensors.i32(head)?;
            if found != [shape[0]] {
                return Err(StageError::failed(format!(
                    "tensor `{head}` has shape {found:?}, expected {:?}",
                    [shape[0]]
                )));
            }
            labels.insert(head.to_owned(), values);
        }
        Ok(Self { tensors, shape, labels })
    }

    /// Returns the pixels of all images, `[n, c, h, w]`, 0 to 255.
    pub fn images(&self) -> &[u8] {
        self.tensors.u8(IMAGES).expect("`read` found it").0
    }

    /// Returns the pixels of image `index`, `[c, h, w]`, 0 to 255.
    ///
    /// # Panics
    /// Panics if there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.image_shape().bytes();
        &self.images()[index * size..][..size]
    }

    /// Returns the number of images and their shape: `[n, c, h, w]`.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Returns the shape of each image.
    pub fn image_shape(&self) -> ImageShape {
        let [_, channels, height, width] = self.shape;
        ImageShape { channels, height, width }
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        self.shape[0]
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the names of the heads, sorted. [`Labels`] has them in order, the main head first.
    pub fn heads(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str)
    }

    /// Returns the labels of `head`, one for each image.
    ///
    /// # Errors
    /// If there is no such head.
    pub fn labels(&self, head: &str) -> Result<&[i32], StageError> {
        self.labels.get(head).map(Vec::as_slice).ok_or_else(|| {
            let heads: Vec<_> = self.heads().collect();
            StageError::failed(format!("there is no head `{head}`; there are: {}", heads.join(", ")))
        })
    }
}

/// Returns the file of a split: `images`, `[n, c, h, w]` from 0 to 255, and a tensor of labels, `[n]`, for each head.
///
/// # Panics
/// Panics if the lengths do not fit `shape`, or two tensors have the same name.
pub fn write(shape: ImageShape, images: Vec<u8>, labels: &[(&str, &[i32])]) -> Vec<u8> {
    let n = images.len() / shape.bytes();
    let mut writer = TensorsWriter::default();
    writer.u8(IMAGES, &[n, shape.channels, shape.height, shape.width], images);
    for (head, values) in labels {
        writer.i32(*head, &[n], values);
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 1, width: 2 };

    #[test]
    fn what_is_written_is_read() {
        let bytes = write(SHAPE, vec![1, 2, 3, 4], &[("fine", &[7, 8]), ("coarse", &[0, 1])]);
        let dataset = Dataset::read(bytes.into()).unwrap();
        assert_eq!((dataset.shape(), dataset.len(), dataset.image(1)), ([2, 1, 1, 2], 2, &[3, 4][..]));
        assert_eq!(dataset.labels("fine").unwrap(), [7, 8]);
        assert_eq!(dataset.heads().collect::<Vec<_>>(), ["coarse", "fine"]);
        let error = dataset.labels("class").unwrap_err();
        assert_eq!(error.to_string(), "there is no head `class`; there are: coarse, fine");
    }

    #[test]
    fn shapes_that_cannot_be_are_refused() {
        for shape in [[0, usize::MAX, usize::MAX, 2], [0, 1 << 31, 1, 2], [0, 3, 0, 2]] {
            let mut writer = TensorsWriter::default();
            writer.u8("images", &shape, Vec::new());
            let error = Dataset::read(writer.finish().into()).err().unwrap().to_string();
            assert!(error.starts_with("tensor `images` cannot be read: an image has the shape"), "{error}");
        }
    }

    #[test]
    fn labels_that_do_not_fit_the_images_are_refused() {
        let mut writer = TensorsWriter::default();
        writer.u8("images", &[2, 1, 1, 1], vec![1, 2]);
        writer.i32("class", &[1], &[0]);
        let error = Dataset::read(writer.finish().into()).err().unwrap();
        assert_eq!(error.to_string(), "tensor `class` has shape [1], expected [2]");
    }
}
