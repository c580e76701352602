//! Reads objects by name, from a store or from memory.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use crate::{Digest, StoreError, mapped::Mapped};

/// The uncompressed bytes of an object, owned or mapped from its file. Cheap to clone.
#[derive(Clone)]
pub struct Bytes(Inner);

#[derive(Clone)]
enum Inner {
    Owned(Arc<Vec<u8>>),
    Mapped(Arc<Mapped>),
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Owned(Arc::new(bytes)))
    }
}

impl From<Mapped> for Bytes {
    fn from(map: Mapped) -> Self {
        Self(Inner::Mapped(Arc::new(map)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Owned(bytes) => bytes,
            Inner::Mapped(map) => map,
        }
    }
}

/// Reads objects by name. Invariant: the bytes that it returns hash to the name.
pub trait ObjectSource: Send + Sync {
    /// Returns the verified bytes of the object named `digest`.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Promised`] if there is no such object here, [`StoreError::Corrupt`] if it is damaged. Also if its file cannot be read.
    fn read(&self, digest: &Digest) -> Result<Bytes, StoreError>;
}

/// Objects in memory, for tests and for work that should leave nothing behind.
#[derive(Default)]
pub struct MemoryObjects(BTreeMap<Digest, Bytes>);

impl MemoryObjects {
    /// Adds `bytes` and returns their name.
    pub fn put(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.0.insert(digest, bytes.into());
        digest
    }
}

impl ObjectSource for MemoryObjects {
    fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.0.get(digest).cloned().ok_or(StoreError::Missing(*digest))
    }
}
