//! The images of an evaluated split as small pictures.

use pipe_engine::study::{self, StudyNode};
use pipe_stages::images::{dataset::Dataset, sheet};
use pipe_store::{ObjectSource, Store};

use crate::ViewError;

/// The images that an evaluation was given.
pub struct Thumbnails(Dataset);

/// An image as PNG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    pub width: usize,
    pub height: usize,
    pub png: Vec<u8>,
}

/// The longest side. Larger images are shrunk by a whole factor.
const SIDE: usize = 96;

impl Thumbnails {
    /// Returns the images that the evaluation `node`, called `name`, was given, or None if the store no longer has them, or does not have them
    /// yet because they are at a remote.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn of_node(store: &Store, name: &str, node: &StudyNode) -> Result<Option<Self>, ViewError> {
        let Some(key) = node.action else { return Ok(None) };
        let read = || {
            let action = study::action(store, &key)?;
            let Some(data) = action.inputs.get("data").copied() else { return Ok(None) };
            Ok(Some((data, store.read(&data)?)))
        };
        let (digest, bytes) = match read() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(ViewError::Store(error) | ViewError::Study(study::StudyError::Store(error))) if error.is_absent() => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let not_a = |error: pipe_stages::stage::StageError| ViewError::Record {
            node: name.to_owned(),
            path: "data".to_owned(),
            digest,
            reason: error.to_string(),
        };
        Dataset::read(bytes).map(|data| Some(Self(data))).map_err(not_a)
    }

    /// Returns an image as a picture, or None if the split has no such image. Equal images have equal bytes.
    pub fn get(&self, image: usize) -> Option<Thumbnail> {
        if image >= self.0.len() {
            return None;
        }
        let shape = self.0.image_shape();
        let factor = shape.height.max(shape.width).div_ceil(SIDE).max(1);
        let (height, width) = (shape.height.div_ceil(factor), shape.width.div_ceil(factor));
        let pixels = self.0.image(image);
        let plane = shape.height * shape.width;
        let mut small = Vec::with_capacity(height * width * shape.channels);
        for at in 0..height * width * shape.channels {
            let (y, x, channel) = (at / shape.channels / width, at / shape.channels % width, at % shape.channels);
            let rows = y * factor..((y + 1) * factor).min(shape.height);
            let columns = x * factor..((x + 1) * factor).min(shape.width);
            let n = rows.len() * columns.len();
            let of_row = |row: usize| &pixels[channel * plane + row * shape.width..][columns.clone()];
            let sum: usize = rows.clone().flat_map(of_row).map(|value| usize::from(*value)).sum();
            small.push(((sum + n / 2) / n) as u8);
        }
        Some(Thumbnail { width, height, png: sheet::encode(&small, width, height, shape.channels) })
    }
}
