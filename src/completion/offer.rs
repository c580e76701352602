//! What a shell offers.

/// What a shell is to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Files and folders.
    Files,
    /// Folders.
    Folders,
    /// These words. The user goes on typing after one that ends with `/`, `=` or `.`.
    Words(Vec<Word>),
}

/// A word that can come next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// The whole word.
    pub(crate) text: String,
    /// What it is, in a few words. It may be empty.
    pub(crate) about: String,
}

impl Word {
    pub(super) fn new(text: impl Into<String>, about: impl Into<String>) -> Self {
        Self { text: text.into(), about: about.into() }
    }
}
