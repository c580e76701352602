//! The IDX format of MNIST (LeCun, Cortes and Burges, "The MNIST database"), Fashion-MNIST and others: a magic number,
//! big-endian sizes, then bytes. Each file is compressed with gzip.

use super::collection::{Collection, Part};
use crate::{
    containers::{EntryKind, Source},
    images::dataset::{Head, ImageShape},
    stage::StageError,
};

/// The slots of the four input files.
pub(super) const SLOTS: [&str; 4] = ["train-images", "train-labels", "test-images", "test-labels"];

/// The most pixels of a side of an image, as for folders of pictures.
const SIDE: usize = 4096;

/// What the names of the files of MNIST and its like begin with, for each of [`SLOTS`].
const NAMES: [&[&str]; 4] =
    [&["train-images"], &["train-labels"], &["test-images", "t10k-images"], &["test-labels", "t10k-labels"]];

/// Returns the images of a source of four files, in their [`SLOTS`] or in one container. Without `names`, the name of a class is its
/// number.
pub(super) fn read(source: &Source<'_, '_>, names: Option<&[String]>) -> Result<Collection, StageError> {
    let mut files: [Option<Vec<u8>>; 4] = [const { None }; 4];
    for (file, slot) in files.iter_mut().zip(SLOTS) {
        *file = source.single(slot)?;
    }
    if files.iter().all(Option::is_none) {
        source.visit(|entry| {
            let name = entry.path.rsplit('/').next().unwrap_or(entry.path);
            let which = NAMES.iter().position(|begins| begins.iter().any(|begin| name.starts_with(begin)));
            if let (Some(which), EntryKind::File(content)) = (which, entry.kind) {
                if files[which].is_some() {
                    return Err(StageError::failed(format!("there are two files `{}..`", SLOTS[which])));
                }
                let bytes = content.read(u64::MAX).map_err(|error| error.of_entry(entry.path))?;
                files[which] = Some(crate::containers::unpack(SLOTS[which], &bytes)?);
            }
            Ok(())
        })?;
    }
    let missing: Vec<_> = files.iter().zip(SLOTS).filter(|(file, _)| file.is_none()).map(|(_, slot)| slot).collect();
    if let Some(first) = missing.first() {
        return Err(StageError::failed_with_hint(
            format!("there is no file `{first}`"),
            "`Fetch(Files([..]))` with the names `train-images`, `train-labels`, `test-images` and `test-labels`, or one container with files whose names begin so",
        ));
    }
    parse(files.map(|file| file.expect("none is missing")), names)
}

/// Returns the images in `files`, which are in the order of [`SLOTS`].
fn parse(files: [Vec<u8>; 4], names: Option<&[String]>) -> Result<Collection, StageError> {
    let [train_slot, train_label_slot, test_slot, test_label_slot] = SLOTS;
    let [train, train_labels, test, test_labels] = files;
    let (train, shape) = part(train_slot, train, train_label_slot, train_labels)?;
    let (test, test_shape) = part(test_slot, test, test_label_slot, test_labels)?;
    if shape != test_shape {
        return Err(StageError::failed(format!(
            "`{test_slot}` holds images of {} x {}, expected {} x {} as in `{train_slot}`",
            test_shape.height, test_shape.width, shape.height, shape.width
        )));
    }
    let classes: Vec<String> = match names {
        Some(names) => names.to_vec(),
        None => (0..=train.labels[0].iter().copied().max().unwrap_or(0)).map(|label| label.to_string()).collect(),
    };
    for (slot, part) in [(train_label_slot, &train), (test_label_slot, &test)] {
        let beyond = |label: &&i32| usize::try_from(**label).is_ok_and(|label| label >= classes.len());
        if let Some((index, label)) = part.labels[0].iter().enumerate().find(|(_, label)| beyond(label)) {
            let n = classes.len();
            return Err(StageError::failed(format!("`{slot}`, record {index}: label is {label}, expected below {n}")));
        }
    }
    Ok(Collection { shape, heads: vec![Head { name: "class".to_owned(), classes }], train, test })
}

fn part(slot: &str, images: Vec<u8>, label_slot: &str, labels: Vec<u8>) -> Result<(Part, ImageShape), StageError> {
    let images = File::<3>::open(slot, images)?;
    let [n, height, width] = images.sizes;
    if n == 0 || height == 0 || width == 0 {
        return Err(StageError::failed(format!(
            "`{slot}` holds {n} images of {height} x {width}: there are no pixels"
        )));
    }
    if height.max(width) > SIDE {
        return Err(StageError::failed(format!(
            "`{slot}` holds images of {height} x {width}, expected at most {SIDE} a side"
        )));
    }
    let pixels = images.read()?;
    // The labels are read after their number is known to be that of the images.
    let labels = File::<1>::open(label_slot, labels)?;
    let [n_labels] = labels.sizes;
    if n != n_labels {
        return Err(StageError::failed(format!(
            "`{label_slot}` holds {n_labels} labels, expected {n}: one for each image in `{slot}`"
        )));
    }
    let labels = labels.read()?.into_iter().map(i32::from).collect();
    Ok((Part { images: pixels, labels: vec![labels] }, ImageShape { channels: 1, height, width }))
}

/// An IDX file of unsigned bytes with `D` dimensions, whose header was read.
struct File<'a, const D: usize> {
    slot: &'a str,
    sizes: [usize; D],
    bytes: Vec<u8>,
}

impl<'a, const D: usize> File<'a, D> {
    /// The bytes of the header.
    const HEADER: usize = 4 + 4 * D;

    /// Reads the header.
    fn open(slot: &'a str, bytes: Vec<u8>) -> Result<Self, StageError> {
        let Some(header) = bytes.get(..Self::HEADER) else {
            let why = format!("truncated: found {} bytes, expected a header of {}", bytes.len(), Self::HEADER);
            return Err(failed(slot, why));
        };
        let words: Vec<u32> = header.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word)).collect();
        let magic = 0x0800 | D as u32; // 08 is the type "unsigned byte"
        if words[0] != magic {
            return Err(failed(slot, format!("magic number is {:#010x}, expected {magic:#010x}", words[0])));
        }
        let mut sizes = [0; D];
        for (size, word) in sizes.iter_mut().zip(&words[1..]) {
            *size = *word as usize;
        }
        Ok(Self { slot, sizes, bytes })
    }

    /// Returns the data.
    fn read(mut self) -> Result<Vec<u8>, StageError> {
        let found = self.bytes.len() - Self::HEADER;
        let expected = self.sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        if expected != Some(found) {
            return Err(failed(self.slot, format!("found {found} bytes, expected {}", shown(&self.sizes))));
        }
        self.bytes.drain(..Self::HEADER);
        Ok(self.bytes)
    }
}

fn shown(sizes: &[usize]) -> String {
    sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ")
}

fn failed(slot: &str, why: String) -> StageError {
    StageError::failed(format!("`{slot}`: {why}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::containers::testing::{gzip, tar, with_source};

    /// Returns an IDX file.
    pub(in crate::decode) fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
        let magic = 0x0800 | sizes.len() as u32;
        let head: Vec<u8> = [magic].iter().chain(sizes).flat_map(|word| word.to_be_bytes()).collect();
        gzip(&[&head, bytes].concat())
    }

    fn check(files: [Vec<u8>; 4], names: Option<&[String]>, expected: &str) {
        assert_eq!(read_files(&files, names).unwrap_err().to_string(), expected);
    }

    fn read_files(files: &[Vec<u8>; 4], names: Option<&[String]>) -> Result<Collection, StageError> {
        let slots: Vec<(&str, &[u8])> = SLOTS.into_iter().zip(files.iter().map(Vec::as_slice)).collect();
        with_source(&slots, |source| read(source, names))
    }

    fn good() -> [Vec<u8>; 4] {
        [idx(&[2, 1, 2], &[1, 2, 3, 4]), idx(&[2], &[0, 1]), idx(&[1, 1, 2], &[5, 6]), idx(&[1], &[1])]
    }

    #[test]
    fn the_four_files_are_read_as_a_dataset() {
        let files = good();
        let found = read_files(&files, None).unwrap();
        assert_eq!(found.shape, ImageShape { channels: 1, height: 1, width: 2 });
        assert_eq!(found.train, Part { images: vec![1, 2, 3, 4], labels: vec![vec![0, 1]] });
        assert_eq!(found.test, Part { images: vec![5, 6], labels: vec![vec![1]] });
        assert_eq!(found.heads, [Head { name: "class".into(), classes: vec!["0".into(), "1".into()] }]);
    }

    #[test]
    fn four_files_in_a_container_are_found_by_their_names() {
        let [a, b, c, d] = good();
        let inside = [
            ("m/train-images-idx3-ubyte.gz", &a[..]),
            ("m/train-labels-idx1-ubyte.gz", &b),
            ("m/t10k-images-idx3-ubyte.gz", &c),
            ("m/t10k-labels-idx1-ubyte.gz", &d),
            ("m/readme", b"text"),
        ];
        let bytes = tar(&inside);
        let found = with_source(&[("archive", &bytes)], |source| read(source, None)).unwrap();
        assert_eq!(found, read_files(&good(), None).unwrap());
        let bytes = tar(&inside[1..]);
        let error = with_source(&[("archive", &bytes)], |source| read(source, None)).unwrap_err();
        assert_eq!(error.to_string(), "there is no file `train-images`");
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let [a, b, c, d] = good();
        check(
            [b.clone(), b.clone(), c.clone(), d.clone()],
            None,
            "`train-images`: truncated: found 10 bytes, expected a header of 16",
        );
        check(
            [a.clone(), a.clone(), c.clone(), d.clone()],
            None,
            "`train-labels`: magic number is 0x00000803, expected 0x00000801",
        );
        check(
            [idx(&[2, 1, 2], &[1, 2, 3]), b.clone(), c.clone(), d.clone()],
            None,
            "`train-images`: found 3 bytes, expected 2 x 1 x 2",
        );
        check(
            [idx(&[4096; 3], &[1]), b.clone(), c.clone(), d.clone()],
            None,
            "`train-images`: found 1 bytes, expected 4096 x 4096 x 4096",
        );
        check(
            [a.clone(), idx(&[1], &[0]), c.clone(), d.clone()],
            None,
            "`train-labels` holds 1 labels, expected 2: one for each image in `train-images`",
        );
        check(
            [a.clone(), b.clone(), idx(&[1, 2, 2], &[0; 4]), d.clone()],
            None,
            "`test-images` holds images of 2 x 2, expected 1 x 2 as in `train-images`",
        );
        check(
            [a.clone(), b.clone(), c.clone(), idx(&[1], &[2])],
            None,
            "`test-labels`, record 0: label is 2, expected below 2",
        );
        check([a.clone(), b, c, d], Some(&["zero".into()]), "`train-labels`, record 1: label is 1, expected below 1");
        let cut = a[..a.len() - 9].to_vec();
        let error = read_files(&[cut.clone(), cut.clone(), cut.clone(), cut], None).unwrap_err().to_string();
        assert!(error.starts_with("`train-images`: the file is broken: "), "{error}");
    }
}
