//! `fetch`: how data comes in. The action's key covers what is expected, by digest and size, and not where it comes from.

mod cifar_archive;
mod fetcher;
mod http;
mod location;
mod shapes;
mod spec;
mod verify;

pub use fetcher::Fetcher;
pub use location::{LocationError, Mirror};
use serde::{Deserialize, Serialize};
pub use spec::{FetchSources, FetchSpec, NamedRemote, Remote};

use crate::{
    choices, parameters,
    params::Domain,
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// The output of a fetch of one file, or of generated data.
pub const ARCHIVE: &str = "archive";

/// What an action fetches: generated data, or files known by their digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum FetchAction {
    /// Generated data; the output is [`ARCHIVE`].
    Embedded(Embedded),
    /// Files, sorted by name; each is an output of that name.
    Files(Vec<Expected>),
}

parameters! {
    /// Data that is generated: no network is needed.
    #[derive(Eq)]
    pub struct Embedded {
        /// Which data.
        name: EmbeddedName,
        /// How many training images.
        train: u32 [IMAGES],
        /// How many test images.
        test: u32 [IMAGES],
    }
}

const IMAGES: Domain = Domain::Whole(1..=1_000_000);

choices! {
    /// Which data is generated.
    #[derive(Copy, Eq)]
    pub enum EmbeddedName {
        /// 32 x 32 colour pictures of 20 shapes in 5 textures, as a CIFAR-100 binary archive.
        Shapes100 = "shapes100",
    }
}

/// A file that is expected, with the digests that it must have: a SHA-256, a BLAKE3, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The name of the output.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

impl FetchAction {
    /// Returns the names of the output files.
    pub fn outputs(&self) -> Vec<&str> {
        match self {
            Self::Embedded(_) => vec![ARCHIVE],
            Self::Files(files) => files.iter().map(|file| file.name.as_str()).collect(),
        }
    }
}

impl Stage for FetchAction {
    fn id(&self) -> StageId {
        StageId { name: "fetch", version: 1 }
    }

    fn memory(&self, _: &Inputs<'_>) -> Result<u64, StageError> {
        let bytes = match self {
            Self::Embedded(embedded) => 3 * 3074 * (u64::from(embedded.train) + u64::from(embedded.test)),
            Self::Files(files) => files.iter().map(|file| file.size).fold(0, u64::saturating_add),
        };
        Ok(bytes.saturating_add(64 << 20))
    }

    fn run(&self, _: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        match self {
            Self::Embedded(Embedded { name: EmbeddedName::Shapes100, train, test }) => {
                Ok(Outputs::default().with(ARCHIVE, cifar_archive::shapes100(*train, *test)))
            }
            Self::Files(files) => {
                let names: Vec<_> = files.iter().map(|file| format!("`{}`", file.name)).collect();
                Err(StageError::Environment {
                    message: format!("no URL is known for {}", names.join(", ")),
                    hint: Some("use `pipe run`, which takes the URLs from the pipeline file".to_owned()),
                    source: None,
                })
            }
        }
    }
}
