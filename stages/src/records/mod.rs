//! What stages write and others read, one file per record: its type, the name of its file, its format version. The writer and
//! every reader use the type; nobody reads a record by its keys.

pub(crate) mod chain;

use serde::{Serialize, de::DeserializeOwned};

/// A file of JSON that a stage writes.
pub trait Record: Serialize + DeserializeOwned {
    /// The name of the file in the output tree.
    const FILE: &'static str;
    /// The version of the format, in the field `format`.
    const FORMAT: u32;
}
