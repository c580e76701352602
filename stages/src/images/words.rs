//! Random changes in a few words: what a device needs to know to make them itself.

use super::{
    Edges, Policy,
    augmentation::Moved,
    draws::Draws,
    mixing::{How, Mixture},
    normalisation::Normalisation,
};
use crate::images::dataset::ImageShape;

/// A change that moves or covers pixels. Its words say how much of it an image gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// Mirrors the image left to right if its word is not 0.
    Flip,
    /// Mirrors the image top to bottom if its word is not 0.
    FlipVertically,
    /// Shows what lies this many rows down and columns to the right: two signed words, each less than a side of the image.
    Shift,
    /// Sets the pixels of the rows `a..b` and columns `c..d` to 0: four words, a, b, c and d.
    Cover,
}

impl Change {
    /// Returns the number of words that say how much of the change an image gets.
    pub(crate) fn words(self) -> usize {
        match self {
            Self::Flip | Self::FlipVertically => 1,
            Self::Shift => 2,
            Self::Cover => 4,
        }
    }
}

impl Policy {
    /// Returns the changes in the order in which they are made, apart from mixing. `None` if one of them cannot be said in a few
    /// words.
    pub(crate) fn changes(&self, shape: ImageShape) -> Option<Vec<Change>> {
        let kind = |moved: Moved| match moved {
            Moved::Flipped(_) => Change::Flip,
            Moved::UpsideDown(_) => Change::FlipVertically,
            Moved::Shifted(_) => Change::Shift,
            Moved::Covered { .. } => Change::Cover,
        };
        let changes = self.augmentations().iter().filter(|change| !change.mixes());
        changes.map(|change| change.drawn(shape, &Draws::new(0, 0, 0, 0)).map(kind)).collect()
    }

    /// Returns the fill of pixels from beyond the edges.
    pub(crate) fn edges(&self) -> Edges {
        self.fill
    }

    /// Returns the scales of all channels, then their offsets.
    pub(crate) fn scales(&self) -> Vec<f32> {
        let Normalisation { scale, offset } = self.normalisation();
        scale.iter().chain(offset).copied().collect()
    }

    /// Appends the words of the image `index` in `epoch`: those of each of the [`changes`](Self::changes). The decisions are those of
    /// [`fill`](Self::fill).
    pub(crate) fn write(&self, shape: ImageShape, index: u32, epoch: u32, seed: u64, words: &mut Vec<u32>) {
        for (change, place) in self.augmentations().iter().zip(0..) {
            match change.drawn(shape, &Draws::new(seed, epoch, place, index)) {
                Some(Moved::Flipped(is) | Moved::UpsideDown(is)) => words.push(is.into()),
                Some(Moved::Shifted(by)) => words.extend(by.map(|by| (by as i32).cast_unsigned())),
                Some(Moved::Covered { rows, columns }) => words.extend(rectangle(&rows, &columns)),
                None => {}
            }
        }
    }
}

fn rectangle(rows: &std::ops::Range<usize>, columns: &std::ops::Range<usize>) -> [u32; 4] {
    [rows.start, rows.end, columns.start, columns.end].map(|at| at as u32)
}

impl Mixture {
    /// The words of an image that is not mixed.
    pub(crate) const NONE: [u32; 6] = [0; 6];

    /// Returns how two images are mixed: 1 for a mean or 2 for a rectangle of the other image, the share of the first image as an f32, and
    /// the rectangle as in [`Change::Cover`].
    pub(crate) fn words(&self) -> [u32; 6] {
        let share = (self.share as f32).to_bits();
        match &self.how {
            How::Blend(_) => [1, share, 0, 0, 0, 0],
            How::Paste { rows, columns } => {
                let [a, b, c, d] = rectangle(rows, columns);
                [2, share, a, b, c, d]
            }
        }
    }
}
