//! How an image that a climb ends with is drawn.

use crate::choices;

choices! {
    /// How an image becomes a picture.
    #[derive(Copy, Eq)]
    pub enum Look {
        /// Every picture has mid-grey as its mean and a tenth of the range as its standard deviation.
        Classic,
        /// The image as the network sees it, with no change of contrast.
        Plain,
    }
}
