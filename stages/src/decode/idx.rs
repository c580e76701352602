//! The IDX format of MNIST (LeCun, Cortes and Burges, "The MNIST database"), Fashion-MNIST and others: a magic number,
//! big-endian sizes, then bytes. Each file is compressed with gzip.

use super::{
    archive::{self, Limits, Unpacked},
    collection::{Collection, Part},
};
use crate::{
    images::dataset::{Head, ImageShape},
    stage::StageError,
};

/// The slots of the four input files.
pub(super) const SLOTS: [&str; 4] = ["train-images", "train-labels", "test-images", "test-labels"];

/// The most pixels of a side of an image, as for folders of pictures.
const SIDE: usize = 4096;

/// Returns the images in `files`, which are in the order of [`SLOTS`]. Without `names`, the name of a class is its number.
pub(super) fn read(files: [&[u8]; 4], names: Option<&[String]>) -> Result<Collection, StageError> {
    let [train_slot, train_label_slot, test_slot, test_label_slot] = SLOTS;
    let (train, shape) = part(train_slot, files[0], train_label_slot, files[1])?;
    let (test, test_shape) = part(test_slot, files[2], test_label_slot, files[3])?;
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

fn part(slot: &str, images: &[u8], label_slot: &str, labels: &[u8]) -> Result<(Part, ImageShape), StageError> {
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
    /// The product of the sizes.
    length: u64,
    /// The bytes that the file says to unpack to, which may be wrong.
    stated: u64,
    unpacked: Unpacked<'a>,
}

impl<'a, const D: usize> File<'a, D> {
    /// Reads the header. Its sizes are within the limits of a file of this length.
    fn open(slot: &'a str, bytes: &'a [u8]) -> Result<Self, StageError> {
        let limit = Limits::of(bytes.len()).total;
        let mut unpacked = Unpacked::new(bytes, limit).map_err(|error| of_slot(slot, error))?;
        let header = 4 + 4 * D;
        let mut head = Vec::new();
        unpacked.read(header as u64, &mut head).map_err(|error| of_slot(slot, error))?;
        if head.len() < header {
            return Err(failed(slot, format!("truncated: found {} bytes, expected a header of {header}", head.len())));
        }
        let words: Vec<u32> = head.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word)).collect();
        let magic = 0x0800 | D as u32; // 08 is the type "unsigned byte"
        if words[0] != magic {
            return Err(failed(slot, format!("magic number is {:#010x}, expected {magic:#010x}", words[0])));
        }
        let mut sizes = [0; D];
        for (size, word) in sizes.iter_mut().zip(&words[1..]) {
            *size = *word as usize;
        }
        let length = sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size as u64));
        match length.filter(|length| *length <= limit) {
            Some(length) => Ok(Self { slot, sizes, length, stated: archive::unpacked_length(bytes), unpacked }),
            None => Err(failed(
                slot,
                format!(
                    "the header says {} bytes, expected at most {limit} in a file of {}",
                    shown(&sizes),
                    bytes.len()
                ),
            )),
        }
    }

    /// Returns the data.
    fn read(mut self) -> Result<Vec<u8>, StageError> {
        let slot = self.slot;
        let mut content = Vec::with_capacity(self.length.min(self.stated) as usize);
        self.unpacked.read(self.length, &mut content).map_err(|error| of_slot(slot, error))?;
        let found = content.len() as u64 + self.unpacked.finish().map_err(|error| of_slot(slot, error))?;
        if found == self.length {
            return Ok(content);
        }
        Err(failed(slot, format!("found {found} bytes, expected {}", shown(&self.sizes))))
    }
}

fn shown(sizes: &[usize]) -> String {
    sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ")
}

fn failed(slot: &str, why: String) -> StageError {
    StageError::failed(format!("`{slot}`: {why}"))
}

fn of_slot(slot: &str, error: StageError) -> StageError {
    match error {
        StageError::Failed { message, hint } => StageError::Failed { message: format!("`{slot}`: {message}"), hint },
        error => error,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{archive::tests::gzip, *};

    /// Returns an IDX file.
    pub(in crate::decode) fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
        let magic = 0x0800 | sizes.len() as u32;
        let head: Vec<u8> = [magic].iter().chain(sizes).flat_map(|word| word.to_be_bytes()).collect();
        gzip(&[&head, bytes].concat())
    }

    fn check(files: [Vec<u8>; 4], names: Option<&[String]>, expected: &str) {
        let files = [&files[0][..], &files[1], &files[2], &files[3]];
        assert_eq!(read(files, names).unwrap_err().to_string(), expected);
    }

    fn good() -> [Vec<u8>; 4] {
        [idx(&[2, 1, 2], &[1, 2, 3, 4]), idx(&[2], &[0, 1]), idx(&[1, 1, 2], &[5, 6]), idx(&[1], &[1])]
    }

    #[test]
    fn the_four_files_are_read_as_a_dataset() {
        let files = good();
        let found = read([&files[0], &files[1], &files[2], &files[3]], None).unwrap();
        assert_eq!(found.shape, ImageShape { channels: 1, height: 1, width: 2 });
        assert_eq!(found.train, Part { images: vec![1, 2, 3, 4], labels: vec![vec![0, 1]] });
        assert_eq!(found.test, Part { images: vec![5, 6], labels: vec![vec![1]] });
        assert_eq!(found.heads, [Head { name: "class".into(), classes: vec!["0".into(), "1".into()] }]);
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
            [idx(&[u32::MAX; 3], &[1]), b.clone(), c.clone(), d.clone()],
            None,
            "`train-images`: the header says 4294967295 x 4294967295 x 4294967295 bytes, expected at most 268435456 in a file of 27",
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
        let error = read([&cut, &cut, &cut, &cut], None).unwrap_err().to_string();
        assert!(error.starts_with("`train-images`: the gzip stream is broken: "), "{error}");
    }
}
