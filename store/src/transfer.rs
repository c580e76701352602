//! Objects on their way to and from another store: the bytes of their files as they are, raw or compressed.
//!
//! What leaves is verified first, so damage does not spread. What comes is verified before it has a name.

use std::io::{self, Read, Seek};

use crate::{
    Digest, Store,
    digest::Hasher,
    disk::{self, Draft, Found, Handle},
    encoding::{Encoding, PIECE},
    error::{At, Damage, Result, StoreError},
    objects::{LONGEST_RECORD, Written},
    verified,
};

/// How an object is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// How its bytes are encoded.
    pub encoding: Encoding,
    /// The length of its file in bytes.
    pub length: u64,
}

/// The verified file of an object. Reading it gives the bytes as they are on the disk.
#[derive(Debug)]
pub struct StoredFile {
    /// How the object is stored.
    pub stored: Stored,
    file: Handle,
}

impl Read for StoredFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }
}

/// An object that is being received. If it is dropped, nothing of it stays.
pub struct Incoming {
    name: Digest,
    encoding: Encoding,
    draft: Draft,
    written: u64,
    limit: u64,
    size: Option<u64>,
}

/// An object that was received and verified. It has no name yet.
pub struct Received(Written);

impl Store {
    /// Returns how an object is stored, if it is. Does not read its bytes.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if something else is in its place. Also if its file cannot be looked at.
    pub fn stored(&self, digest: &Digest) -> Result<Option<Stored>> {
        Ok(self.find(digest)?.map(|(encoding, length)| Stored { encoding, length }))
    }

    /// Opens the file of an object after its bytes were verified. They are never in memory as a whole.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Promised`] if there is no such object here, [`StoreError::Corrupt`] if it is damaged. Also if it cannot be read.
    pub fn open_stored(&self, digest: &Digest) -> Result<StoredFile> {
        for encoding in Encoding::ALL {
            let path = self.object_path(digest, encoding);
            let corrupt = |found| StoreError::Corrupt { name: *digest, found, path: path.clone() };
            let file = match disk::open(&path)? {
                Found::Sound(file) => file,
                Found::Absent => continue,
                Found::Damaged(reason) => return Err(corrupt(Damage::Unreadable(reason))),
            };
            verified::check_open(&file, &path, encoding, digest)?.map_err(corrupt)?;
            (&file).rewind().at("read", &path)?;
            let length = file.length()?;
            return Ok(StoredFile { stored: Stored { encoding, length }, file });
        }
        Err(self.absent(digest))
    }

    /// Begins to receive the object `name`. `size` is the number of its uncompressed bytes. Without it the object is a record, which
    /// has at most 256 MiB.
    ///
    /// # Errors
    /// If a file cannot be created.
    pub fn receive(&self, name: &Digest, encoding: Encoding, size: Option<u64>) -> Result<Incoming> {
        let most = size.unwrap_or(LONGEST_RECORD);
        // What is compressed is shorter, except for its header and the few bytes of each block that does not shrink.
        let limit =
            if encoding == Encoding::Raw { most } else { most.saturating_add(most / 64).saturating_add(4 << 10) };
        Ok(Incoming { name: *name, encoding, draft: self.draft()?, written: 0, limit, size })
    }

    /// Gives received objects their names. Several at once are cheaper than one by one; a few dozen are enough.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn publish_received(&self, objects: Vec<Received>) -> Result<()> {
        self.publish_objects(objects.into_iter().map(|received| received.0).collect())
    }
}

impl Incoming {
    /// Adds bytes. Says what is wrong once there are more than the object can have.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<Result<(), Damage>> {
        self.written += bytes.len() as u64;
        if self.written > self.limit {
            return Ok(Err(Damage::Length { found: self.written, expected: self.limit }));
        }
        self.draft.write(bytes).map(Ok)
    }

    /// Verifies what was received: it has the size that was asked for and hashes to its name. Otherwise says what is wrong, and nothing
    /// of it stays.
    ///
    /// # Errors
    /// If it cannot be read again.
    pub fn finish(self) -> Result<Result<Received, Damage>> {
        let path = self.draft.path().to_owned();
        let mut file = self.draft.file();
        file.rewind().at("read", &path)?;
        let declared = match self.encoding.declared_length(file, self.written) {
            Ok(declared) => declared,
            Err(error) => return Err(error).at("read", &path),
        };
        let Some(declared) = declared else {
            return Ok(Err(Damage::Undecodable("its header does not say how long it is".to_owned())));
        };
        let most = self.size.unwrap_or(LONGEST_RECORD);
        if declared > most || self.size.is_some_and(|size| size != declared) {
            return Ok(Err(Damage::Length { found: declared, expected: most }));
        }
        match hash(file, self.encoding, declared) {
            Ok((_, found)) if found != declared => Ok(Err(Damage::Length { found, expected: declared })),
            Ok((digest, _)) if digest != self.name => Ok(Err(Damage::Hash(digest))),
            Ok(_) => Ok(Ok(Received(Written { name: self.name, encoding: self.encoding, draft: self.draft }))),
            Err(error) if self.encoding == Encoding::Zstd && error.raw_os_error().is_none() => {
                Ok(Err(Damage::Undecodable(error.to_string())))
            }
            Err(error) => Err(error).at("read", &path),
        }
    }
}

/// Hashes the uncompressed bytes of a file, a piece at a time, and stops after one more than `most`.
fn hash(file: &Handle, encoding: Encoding, most: u64) -> io::Result<(Digest, u64)> {
    let mut reader = encoding.decoder(file)?.take(most.saturating_add(1));
    let (mut hasher, mut length, mut piece) = (Hasher::default(), 0, vec![0; PIECE]);
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok((hasher.finish(), length)),
            n => {
                hasher.update(&piece[..n]);
                length += n as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ObjectSource,
        testing::{noise, store},
    };

    /// Receives `bytes` as the object `name`.
    fn receive(
        store: &Store,
        name: &Digest,
        encoding: Encoding,
        size: Option<u64>,
        bytes: &[u8],
    ) -> Result<(), Damage> {
        let mut incoming = store.receive(name, encoding, size).unwrap();
        for piece in bytes.chunks(1000) {
            incoming.write(piece).unwrap()?;
        }
        let received = incoming.finish().unwrap()?;
        assert!(!store.contains(name).unwrap(), "it has no name yet");
        store.publish_received(vec![received]).unwrap();
        Ok(())
    }

    fn sent(store: &Store, name: &Digest) -> (Encoding, Vec<u8>) {
        let mut file = store.open_stored(name).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(file.stored.length, bytes.len() as u64);
        assert_eq!(store.stored(name).unwrap(), Some(file.stored));
        (file.stored.encoding, bytes)
    }

    #[test]
    fn what_one_store_sends_another_receives_as_it_is() {
        let ((_a, from), (_b, to)) = (store(), store());
        for bytes in [Vec::new(), noise(100), noise(100_000), vec![7; 100_000]] {
            let name = from.put(&bytes).unwrap();
            let (encoding, stored) = sent(&from, &name);
            receive(&to, &name, encoding, Some(bytes.len() as u64), &stored).unwrap();
            assert_eq!(*to.read(&name).unwrap(), *bytes);
            assert_eq!(sent(&to, &name), (encoding, stored));
        }
        assert!(matches!(from.open_stored(&Digest::of(b"absent")), Err(StoreError::Missing(_))));
    }

    #[test]
    fn no_flipped_byte_gets_a_name() {
        let ((_a, from), (folder, to)) = (store(), store());
        for bytes in [noise(300), [vec![3; 5000], noise(200)].concat()] {
            let name = from.put(&bytes).unwrap();
            let (encoding, stored) = sent(&from, &name);
            for at in 0..stored.len() {
                let mut flipped = stored.clone();
                flipped[at] ^= 0x10;
                // A checksum or a reserved bit of the frame may be flipped without a change of the bytes.
                if receive(&to, &name, encoding, Some(bytes.len() as u64), &flipped).is_ok() {
                    assert_eq!(*to.read(&name).unwrap(), *bytes);
                    std::fs::remove_file(to.object_path(&name, encoding)).unwrap();
                }
            }
            assert!(receive(&to, &name, encoding, None, &stored[..stored.len() - 1]).is_err());
            assert!(receive(&to, &name, encoding, Some(1), &stored).is_err());
        }
        assert_eq!(std::fs::read_dir(folder.path().join("store/tmp")).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_decompressed() {
        let (_folder, store) = store();
        let bomb = zstd::bulk::compress(&vec![0; 300 << 20], 3).unwrap();
        let name = Digest::of(b"x");
        let damage = receive(&store, &name, Encoding::Zstd, None, &bomb).unwrap_err();
        assert!(matches!(damage, Damage::Length { found, .. } if found == 300 << 20), "{damage}");
        let damage = receive(&store, &name, Encoding::Zstd, Some(1000), &bomb).unwrap_err();
        assert!(matches!(damage, Damage::Length { .. }), "{damage}");
        // Many frames, of which the first says that it is all.
        let frame = zstd::bulk::compress(&[0; 1000], 3).unwrap();
        let damage = receive(&store, &name, Encoding::Zstd, Some(1000), &frame.repeat(20)).unwrap_err();
        assert!(matches!(damage, Damage::Length { found: 1001, .. }), "{damage}");
    }

    #[test]
    fn a_damaged_object_is_not_sent() {
        let (_folder, store) = store();
        for bytes in [noise(5000), [vec![1; 50_000], noise(1000)].concat()] {
            let name = store.put(&bytes).unwrap();
            let path = store.object_path(&name, store.stored(&name).unwrap().unwrap().encoding);
            let mut damaged = std::fs::read(&path).unwrap();
            let at = damaged.len() - 500;
            damaged[at] ^= 1;
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(store.open_stored(&name), Err(StoreError::Corrupt { .. })));
        }
    }
}
