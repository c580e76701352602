//! `fetch`: gets the files of a dataset. The key of its action has the digests and sizes of the files, and not their URLs.

mod cifar_archive;
mod failure;
mod fetcher;
#[expect(
    clippy::disallowed_methods,
    reason = "a folder of this disk is read, and what comes of it depends on its bytes alone"
)]
mod folder;
mod http;
mod location;
mod measure;
mod network;
mod patience;
mod proxy;
mod shapes;
mod spec;
mod verify;

pub use fetcher::Fetcher;
pub use folder::{DiskError, Look, ProjectError, Snapshot};
pub use location::{LocationError, Mirror};
pub use measure::{Measured, Sources, measure, measure_file};
pub use network::Network;
use pipe_store::Digest;
use serde::{Deserialize, Serialize};
pub use spec::{DiskPath, FetchSources, FetchSpec, Measure, NamedRemote, Remote, Surroundings};

use crate::{
    choices, parameters,
    params::Domain,
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// The name of the output if one file is fetched or data is generated.
pub const ARCHIVE: &str = "archive";

/// The action of `fetch`: generated data, files known by their digests, or a folder known by its listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum FetchAction {
    /// Generated data. The output is called [`ARCHIVE`].
    Embedded(Embedded),
    /// Files, sorted by name. Each is an output with its name.
    Files(Vec<Expected>),
    /// The files of a folder. The outputs are the listing, `listing.json`, and the files in `files/`.
    Folder(FolderContent),
}

/// What is in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderContent {
    /// The digest of the listing. `None` until the folder is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Digest>,
}

parameters! {
    /// Generated data, for which no network is needed.
    #[derive(Eq)]
    pub struct Embedded {
        /// The name of the dataset.
        name: EmbeddedName,
        /// The number of training images.
        train: u32 [IMAGES],
        /// The number of test images.
        test: u32 [IMAGES],
    }
}

const IMAGES: Domain = Domain::Whole(1..=1_000_000);

choices! {
    /// The name of a generated dataset.
    #[derive(Copy, Eq)]
    pub enum EmbeddedName {
        /// Colour pictures of 20 shapes in 5 textures, 32 x 32 pixels, as a CIFAR-100 binary archive.
        Shapes100 = "shapes100",
    }
}

/// A file and the digests that it must have: SHA-256, BLAKE3 or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The name of the output.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 digest, 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The BLAKE3 digest, 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

impl FetchAction {
    /// Returns the names of the output files, without those in `files/` of a folder.
    pub fn outputs(&self) -> Vec<&str> {
        match self {
            Self::Folder(_) => vec![folder::OUTPUT],
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
            Self::Folder(_) => 64 << 20,
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
            Self::Folder(_) => Err(StageError::Environment {
                message: "no folder is known".to_owned(),
                hint: Some("use `pipe run`, which takes the folder from the pipeline file".to_owned()),
                source: None,
            }),
        }
    }
}
