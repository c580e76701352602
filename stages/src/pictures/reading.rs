//! How the files of pictures become pixels.

use super::resample::Window;
use crate::{choices, parameters, params::Domain};

parameters! {
    /// How the files of pictures become pixels.
    #[derive(Eq)]
    pub struct Reading {
        /// The size that pictures are scaled to, [height, width].
        size: [u32; 2] [Domain::Whole(1..=4096)],
        /// What becomes of pictures of another shape.
        resize: Resize = Resize::Stretch,
        /// The colour under transparent pixels and beside padded pictures, [red, green, blue].
        background: [u8; 3] = [255; 3],
        /// Whether pictures are turned as their metadata say.
        orientation: Orientation = Orientation::Exif,
        /// The value of white in samples of 16 bits of PNG and TIFF, for example 4095. What is larger is white, too.
        white: u32 [Domain::Whole(1..=65535)] = 65535,
    }
}

choices! {
    /// What becomes of pictures of another shape.
    #[derive(Eq)]
    pub enum Resize {
        /// They are stretched.
        Stretch,
        /// They are scaled to cover the size, and what juts out is cut off on both sides.
        Crop,
        /// They are scaled to fit into the size, and get a margin of the background on both sides.
        Pad,
    }
}

choices! {
    /// Whether pictures are turned as their metadata say.
    #[derive(Eq)]
    pub enum Orientation {
        /// They are turned and mirrored as Exif says, so that they are upright.
        Exif,
        /// They stay as they are stored.
        Ignore,
    }
}

impl Reading {
    /// Returns the reading at its defaults.
    pub fn of_size(height: u32, width: u32) -> Self {
        Self {
            size: [height, width],
            resize: Resize::Stretch,
            background: [255; 3],
            orientation: Orientation::Exif,
            white: 65535,
        }
    }

    /// Returns the part of a scaled picture that is wanted, and its place in the result, both as (width, height).
    pub(super) fn window(&self, [width, height]: [usize; 2]) -> (Window, [usize; 2]) {
        let [high, wide] = self.size.map(|side| side as usize);
        let is_wider = width * high >= height * wide;
        // One side fits. The other follows, rounded to the nearest, but is at least 1.
        let follows = |side: usize, by: usize, of: usize| ((side * by + of / 2) / of).max(1);
        let whole = match (&self.resize, is_wider) {
            (Resize::Stretch, _) => [wide, high],
            (Resize::Crop, true) | (Resize::Pad, false) => [follows(width, high, height), high],
            (Resize::Crop, false) | (Resize::Pad, true) => [wide, follows(height, wide, width)],
        };
        let size = [whole[0].min(wide), whole[1].min(high)];
        let origin = [0, 1].map(|i| (whole[i] - size[i]) / 2);
        (Window { whole, origin, size }, [(wide - size[0]) / 2, (high - size[1]) / 2])
    }
}
