//! CIFAR-10 and CIFAR-100 in their binary versions (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images",
//! 2009). A record is a byte for each label, then 3072 bytes of pixels: the red, green and blue planes of 32 x 32.

use std::collections::{BTreeMap, BTreeSet};

use super::collection::{Collection, Part};
use crate::{
    containers::{EntryKind, Source},
    images::dataset::{Head, ImageShape},
    stage::StageError,
};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// The most bytes of a file of names: 256 names of 256 bytes.
const NAMES: u64 = 256 * 256;

/// The files and the records of one of the two datasets.
struct Layout {
    train: &'static [&'static str],
    test: &'static str,
    /// (head, file with the names of its classes, index of its label's byte in a record), the main head first.
    heads: &'static [(&'static str, &'static str, usize)],
}

const CIFAR10: Layout = Layout {
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: "test_batch.bin",
    heads: &[("class", "batches.meta.txt", 0)],
};

const CIFAR100: Layout = Layout {
    train: &["train.bin"],
    test: "test.bin",
    heads: &[("fine", "fine_label_names.txt", 1), ("coarse", "coarse_label_names.txt", 0)],
};

/// Returns the images of a CIFAR-10 archive.
pub(super) fn cifar10(source: &Source<'_, '_>) -> Result<Collection, StageError> {
    read(source, &CIFAR10)
}

/// Returns the images of a CIFAR-100 archive.
pub(super) fn cifar100(source: &Source<'_, '_>) -> Result<Collection, StageError> {
    read(source, &CIFAR100)
}

fn read(source: &Source<'_, '_>, layout: &Layout) -> Result<Collection, StageError> {
    let mut files = Files::read(source, layout)?;
    let heads =
        layout.heads.iter().map(|(head, file, _)| files.names(head, file)).collect::<Result<Vec<_>, StageError>>()?;
    let mut train = Part::new(heads.len());
    let length: usize = layout.train.iter().map(|name| files.0[*name].1.len()).sum();
    for name in layout.train {
        files.records(name, layout, &heads, length, &mut train)?;
    }
    let mut test = Part::new(heads.len());
    files.records(layout.test, layout, &heads, 0, &mut test)?;
    Ok(Collection { shape: SHAPE, heads, train, test })
}

/// The needed files of the archive: name without folder -> (path in the archive, bytes).
struct Files(BTreeMap<String, (String, Vec<u8>)>);

impl Files {
    fn read(source: &Source<'_, '_>, layout: &Layout) -> Result<Self, StageError> {
        let names: BTreeSet<&str> =
            layout.train.iter().copied().chain([layout.test]).chain(layout.heads.iter().map(|head| head.1)).collect();
        let record = (layout.heads.len() + SHAPE.bytes()) as u64;
        let is_names = |name: &str| layout.heads.iter().any(|head| head.1 == name);
        let mut files: BTreeMap<String, (String, Vec<u8>)> = BTreeMap::new();
        source.visit(|entry| {
            let name = entry.path.rsplit('/').next().unwrap_or(entry.path).to_owned();
            let EntryKind::File(content) = entry.kind else { return Ok(()) };
            if !names.contains(name.as_str()) {
                return Ok(());
            }
            let path = entry.path.to_owned();
            if let Some((other, _)) = files.get(&name) {
                return Err(StageError::failed(format!(
                    "entries `{other}` and `{path}` collide: expected one `{name}`"
                )));
            }
            if !is_names(&name) && (content.size == 0 || !content.size.is_multiple_of(record)) {
                return Err(StageError::failed(format!(
                    "entry `{path}` is {} bytes long, expected a whole number of records of {record} bytes",
                    content.size
                )));
            }
            let content = content.read(if is_names(&name) { NAMES } else { u64::MAX });
            let content = content.map_err(|error| error.of_entry(&path))?;
            files.insert(name, (path, content));
            Ok(())
        })?;
        match names.iter().find(|name| !files.contains_key(**name)) {
            Some(missing) => Err(StageError::failed_with_hint(
                format!("the archive has no entry `{missing}`"),
                "check `format`; only the binary version of CIFAR can be read, not those for Python or Matlab",
            )),
            None => Ok(Self(files)),
        }
    }

    fn names(&self, head: &str, file: &str) -> Result<Head, StageError> {
        let (path, content) = &self.0[file];
        let text =
            str::from_utf8(content).map_err(|_| StageError::failed(format!("entry `{path}` is not UTF-8 text")))?;
        let classes: Vec<String> =
            text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        if classes.is_empty() || classes.len() > 256 {
            let n = classes.len();
            return Err(StageError::failed(format!("entry `{path}` holds {n} names, expected 1 to 256")));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = classes.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(StageError::failed(format!("entry `{path}` names `{}` twice", twice.escape_debug())));
        }
        Ok(Head { name: head.to_owned(), classes })
    }

    /// Moves the records of `file` into `part`, which will have about `length` bytes. Pixels are moved together in place.
    fn records(
        &mut self,
        file: &str,
        layout: &Layout,
        heads: &[Head],
        length: usize,
        part: &mut Part,
    ) -> Result<(), StageError> {
        let (path, mut content) = self.0.remove(file).expect("each file exists and is read once");
        let size = heads.len() + SHAPE.bytes();
        let n = content.len() / size;
        for index in 0..n {
            let record = &content[index * size..][..size];
            for (at, (head, (name, _, byte))) in heads.iter().zip(layout.heads).enumerate() {
                let label = record[*byte];
                if usize::from(label) >= head.classes.len() {
                    return Err(StageError::failed(format!(
                        "entry `{path}`, record {index}: {name} label is {label}, expected below {}",
                        head.classes.len()
                    )));
                }
                part.labels[at].push(i32::from(label));
            }
            content.copy_within(index * size + heads.len()..(index + 1) * size, index * SHAPE.bytes());
        }
        content.truncate(n * SHAPE.bytes());
        if part.images.is_empty() {
            part.images = content;
            part.images.reserve_exact(length.saturating_sub(part.images.len()));
        } else {
            part.images.append(&mut content);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::containers::testing::{archive, with_source};

    fn read_archive(
        read: impl FnOnce(&Source<'_, '_>) -> Result<Collection, StageError>,
        bytes: &[u8],
    ) -> Result<Collection, StageError> {
        with_source(&[("archive", bytes)], read)
    }

    /// Returns a record whose pixels are all `pixel`.
    pub(in crate::decode) fn record(labels: &[u8], pixel: u8) -> Vec<u8> {
        [labels, &[pixel; 3072]].concat()
    }

    /// Returns a CIFAR-100 archive with 2 coarse and 3 fine classes. Each image is given as (coarse, fine, value of its pixels).
    pub(in crate::decode) fn tiny100(train: &[[u8; 3]], test: &[[u8; 3]]) -> Vec<u8> {
        let records = |part: &[[u8; 3]]| part.iter().flat_map(|[c, f, p]| record(&[*c, *f], *p)).collect::<Vec<u8>>();
        archive(&[
            ("cifar-100-binary/coarse_label_names.txt", b"animal\nplant\n"),
            ("cifar-100-binary/fine_label_names.txt", b"ape\nbear\nfern\n\n"),
            ("cifar-100-binary/train.bin", &records(train)),
            ("cifar-100-binary/test.bin", &records(test)),
        ])
    }

    #[test]
    fn both_labels_and_their_names_are_read() {
        let found = read_archive(cifar100, &tiny100(&[[0, 1, 9], [1, 2, 8]], &[[0, 0, 7]])).unwrap();
        assert_eq!(
            found.heads[0],
            Head { name: "fine".into(), classes: ["ape", "bear", "fern"].map(String::from).into() }
        );
        assert_eq!(found.heads[1].classes, ["animal", "plant"]);
        assert_eq!(found.train.labels, [[1, 2], [0, 1]]);
        assert_eq!(found.test.labels, [[0], [0]]);
        assert_eq!((found.train.images[0], found.train.images[3072], found.test.images.len()), (9, 8, 3072));
    }

    #[test]
    fn cifar10_has_five_batches_in_order_and_a_test_batch() {
        let names = CIFAR10.train.iter().chain([&CIFAR10.test]);
        let batches: Vec<_> = names.zip(0..).map(|(name, i)| (*name, record(&[i % 2], i))).collect();
        let mut files: Vec<(&str, &[u8])> = batches.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        files.push(("batches.meta.txt", b"cat\ndog\n\n"));
        files.push(("readme.html", b"<html>"));
        let found = read_archive(cifar10, &archive(&files)).unwrap();
        assert_eq!(found.train.labels, [[0, 1, 0, 1, 0]]);
        assert_eq!(found.test.labels, [[1]]);
        assert_eq!(found.train.images.chunks(3072).map(|image| image[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let error = read_archive(cifar10, &archive(&files[1..])).unwrap_err();
        assert_eq!(error.to_string(), "the archive has no entry `data_batch_1.bin`");
    }

    fn check(files: &[(&str, &[u8])], expected: &str) {
        let names: [(&str, &[u8]); 2] = [("coarse_label_names.txt", b"a\n"), ("fine_label_names.txt", b"b\nc\n")];
        let files: Vec<_> = names.into_iter().chain(files.iter().copied()).collect();
        assert_eq!(read_archive(cifar100, &archive(&files)).unwrap_err().to_string(), expected);
    }

    #[test]
    fn wrong_counts_labels_and_collisions_name_the_entry() {
        let good = record(&[0, 1], 5);
        check(
            &[("x/train.bin", &good[1..]), ("test.bin", &good)],
            "entry `x/train.bin` is 3073 bytes long, expected a whole number of records of 3074 bytes",
        );
        check(
            &[("train.bin", &good), ("test.bin", b"")],
            "entry `test.bin` is 0 bytes long, expected a whole number of records of 3074 bytes",
        );
        check(
            &[("train.bin", &[good.clone(), record(&[0, 2], 5)].concat()), ("test.bin", &good)],
            "entry `train.bin`, record 1: fine label is 2, expected below 2",
        );
        check(
            &[("train.bin", &record(&[1, 0], 0)), ("test.bin", &good)],
            "entry `train.bin`, record 0: coarse label is 1, expected below 1",
        );
        check(
            &[("a/train.bin", &good), ("b/train.bin", &good), ("test.bin", &good)],
            "entries `a/train.bin` and `b/train.bin` collide: expected one `train.bin`",
        );
    }

    #[test]
    fn a_class_that_is_named_twice_is_refused() {
        let files: [(&str, &[u8]); 4] = [
            ("coarse_label_names.txt", b"a\na\n"),
            ("fine_label_names.txt", b"b\n"),
            ("train.bin", &record(&[0, 0], 0)),
            ("test.bin", &record(&[0, 0], 0)),
        ];
        let error = read_archive(cifar100, &archive(&files)).unwrap_err();
        assert_eq!(error.to_string(), "entry `coarse_label_names.txt` names `a` twice");
    }
}
