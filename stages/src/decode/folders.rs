//! An archive of pictures with a folder for each class: `<root>/<train>/<class>/<file>`, `<root>/<test>/...`.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{
    archive::{self, Limits},
    collection::{Collection, Part},
    contact,
};
use crate::{
    images::dataset::{Head, ImageShape},
    pictures::{self, Reading},
    stage::{Host, Progress, StageError},
};

/// (class, file) -> (path in the archive, scaled pixels). It is sorted, so the order in the archive and threads do not matter.
type Pictures = BTreeMap<(String, String), (String, Vec<u8>)>;

/// Returns the pictures in the folders `train` and `test`, scaled to `size`, `[height, width]`. Classes are sorted by name.
///
/// Pictures are decoded as they come, some at a time, so of the archive only those are in memory.
pub(super) fn read(
    bytes: &[u8],
    train: &str,
    test: &str,
    size: [u32; 2],
    host: &dyn Host,
) -> Result<Collection, StageError> {
    let mut parts = [Pictures::new(), Pictures::new()];
    let mut root: Option<(String, String)> = None;
    let mut batch = Batch::default();
    let mut progress = Progress { unit: "images".to_owned(), ..Progress::default() };
    let mut decode = |batch: Batch, parts: &mut [Pictures; 2]| {
        if host.interrupted() {
            return Err(StageError::Interrupted);
        }
        progress.done += batch.files.len() as u64;
        batch.decode(size, parts)?;
        host.progress(&progress);
        Ok(())
    };
    archive::untar(bytes, Limits::of(bytes.len()), is_picture, |content| {
        let path = content.path.to_owned();
        let Some(place) = PictureFile::of(&path, train, test)? else { return Ok(()) };
        match &root {
            Some((known, first)) if *known != place.root => {
                return Err(StageError::failed(format!(
                    "entries `{first}` and `{path}` are in two datasets: expected one folder `{train}` and one `{test}`"
                )));
            }
            Some(_) => {}
            None => root = Some((place.root.clone(), path.clone())),
        }
        if batch.add(path, place, content.read(pictures::MAX_FILE)?, size) {
            decode(std::mem::take(&mut batch), &mut parts)?;
        }
        Ok(())
    })?;
    decode(batch, &mut parts)?;
    for (name, pictures) in [train, test].iter().zip(&parts) {
        if pictures.is_empty() {
            return Err(StageError::failed_with_hint(
                format!("the archive has no picture in `{name}/<class>/`"),
                "give the names of the folders: `Folders(train: .., test: .., size: ..)`",
            ));
        }
    }
    let classes: BTreeSet<String> = parts[0].keys().map(|(class, _)| class.clone()).collect();
    let classes: Vec<String> = classes.into_iter().collect();
    if let Some(((class, _), (path, _))) = parts[1].iter().find(|((class, _), _)| classes.binary_search(class).is_err())
    {
        return Err(StageError::failed(format!(
            "entry `{path}` has the class `{class}`, which `{train}` does not have"
        )));
    }
    let [train, test] = parts.map(|pictures| part(pictures, &classes));
    let shape = ImageShape { channels: 3, height: size[0] as usize, width: size[1] as usize };
    Ok(Collection { shape, heads: vec![Head { name: "class".to_owned(), classes }], train, test })
}

/// Returns an estimate of the memory that [`read`] and what follows it take: the pictures twice, and the largest batch or the contact sheet.
///
/// # Errors
/// If the archive cannot be read.
pub(super) fn memory(bytes: &[u8], train: &str, test: &str, size: [u32; 2]) -> Result<u64, StageError> {
    let (mut n, mut largest, mut batch) = (0_u64, 0, Batch::default());
    archive::untar(bytes, Limits::of(bytes.len()), is_picture, |content| {
        let path = content.path.to_owned();
        let Some(place) = PictureFile::of(&path, train, test)? else { return Ok(()) };
        n += 1;
        let full = batch.add(path, place, content.read(pictures::MAX_FILE)?, size);
        largest = largest.max(batch.memory);
        if full {
            batch = Batch::default();
        }
        Ok(())
    })?;
    let [height, width] = size.map(|side| side as usize);
    let shape = ImageShape { channels: 3, height, width };
    let sheet = contact::memory(shape, usize::try_from(n).unwrap_or(usize::MAX));
    Ok(2 * n * shape.bytes() as u64 + largest.max(sheet))
}

/// Returns the pictures with the indices of their classes. Each picture is freed as soon as it is copied.
fn part(pictures: Pictures, classes: &[String]) -> Part {
    let mut part = Part::new(1);
    part.images.reserve_exact(pictures.values().map(|(_, planes)| planes.len()).sum());
    for ((class, _), (_, planes)) in pictures {
        part.images.extend(planes);
        let label = classes.binary_search(&class).expect("unknown classes were refused");
        part.labels[0].push(i32::try_from(label).expect("an archive has fewer than 2^31 entries"));
    }
    part
}

fn is_picture(path: &str) -> bool {
    // Includes formats that cannot be read, so that such a file is an error and not silently skipped.
    let endings = ["jpg", "jpeg", "png", "bmp", "gif", "tif", "tiff", "webp"];
    path.rsplit_once('.').is_some_and(|(_, end)| endings.iter().any(|known| end.eq_ignore_ascii_case(known)))
}

/// Where a picture is in a dataset.
struct PictureFile {
    root: String,
    is_test: bool,
    class: String,
    file: String,
}

impl PictureFile {
    /// Returns the place of `path`, or `None` if it is in neither folder.
    fn of(path: &str, train: &str, test: &str) -> Result<Option<Self>, StageError> {
        let parts: Vec<&str> = path.split('/').collect();
        let Some(at) = parts.iter().position(|part| *part == train || *part == test) else { return Ok(None) };
        let &[class, file] = &parts[at + 1..] else {
            let folder = parts[at];
            return Err(StageError::failed(format!("entry `{path}` is not at `{folder}/<class>/<picture>`")));
        };
        let (class, file) = (class.to_owned(), file.to_owned());
        Ok(Some(Self { root: parts[..at].join("/"), is_test: parts[at] == test, class, file }))
    }
}

/// The most pictures that are decoded before the host is asked again whether to stop.
const BATCH: usize = 1024;

/// The memory from which on a batch takes no further picture, so that the number of threads does not decide how much large
/// pictures take.
const BATCH_MEMORY: u64 = 256 << 20;

/// Pictures that are decoded at the same time.
#[derive(Default)]
struct Batch {
    files: Vec<(String, PictureFile, Vec<u8>)>,
    /// The most bytes that the files and the decoders take.
    memory: u64,
}

impl Batch {
    /// Adds a file. Returns whether the batch is full.
    fn add(&mut self, path: String, place: PictureFile, bytes: Vec<u8>, [height, width]: [u32; 2]) -> bool {
        self.memory += bytes.len() as u64 + pictures::memory(&bytes, &Reading::of_size(height, width));
        self.files.push((path, place, bytes));
        self.files.len() >= BATCH || self.memory >= BATCH_MEMORY
    }

    /// Adds the pixels to the training or the test part.
    ///
    /// # Errors
    /// If a picture is broken: the first in the order of the archive.
    fn decode(self, [height, width]: [u32; 2], parts: &mut [Pictures; 2]) -> Result<(), StageError> {
        let decode = |(path, place, bytes): (String, PictureFile, Vec<u8>)| {
            let planes = pictures::planes(&bytes, &Reading::of_size(height, width));
            (path, place, planes)
        };
        let decoded: Vec<(String, PictureFile, Result<Vec<u8>, String>)> =
            self.files.into_par_iter().map(decode).collect();
        for (path, place, planes) in decoded {
            let planes =
                planes.map_err(|why| StageError::failed(format!("entry `{}` is {why}", path.escape_debug())))?;
            parts[usize::from(place.is_test)].insert((place.class, place.file), (path, planes));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

    use super::{archive::tests::archive, *};
    use crate::{decode::archive::tests::gzip, stage::QuietHost};

    pub(in crate::decode) const COLOUR: &[u8] = include_bytes!("fixtures/colour.jpg");

    fn png(width: u32, height: u32, color: ExtendedColorType, bytes: &[u8]) -> Vec<u8> {
        let mut png = Vec::new();
        PngEncoder::new(&mut png).write_image(bytes, width, height, color).unwrap();
        png
    }

    #[test]
    fn classes_and_files_are_sorted_whatever_their_order_in_the_archive() {
        let dot = |value| png(1, 1, ExtendedColorType::Rgb8, &[value, 0, 9]);
        let [one, two, three, four] = [1, 2, 3, 4].map(dot);
        let found = read(
            &archive(&[
                ("fruits/LICENSE", b"text"),
                ("fruits/Test/Pear 2/x.png", &four),
                ("fruits/Training/Pear 2/a.PNG", &three),
                ("fruits/Training/Apple 10/b.png", &two),
                ("fruits/Training/Apple 10/a.png", &one),
                ("fruits/elsewhere/x.jpg", b"not read"),
            ]),
            "Training",
            "Test",
            [1, 1],
            &QuietHost,
        );
        let found = found.unwrap();
        assert_eq!(found.heads[0].classes, ["Apple 10", "Pear 2"]);
        assert_eq!(found.train, Part { images: vec![1, 0, 9, 2, 0, 9, 3, 0, 9], labels: vec![vec![0, 0, 1]] });
        assert_eq!(found.test, Part { images: vec![4, 0, 9], labels: vec![vec![1]] });
    }

    fn check(files: &[(&str, &[u8])], expected: &str) {
        let error = read(&archive(files), "Training", "Test", [2, 2], &QuietHost).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn folders_that_do_not_fit_are_refused() {
        check(&[("r/Test/a/1.jpg", COLOUR)], "the archive has no picture in `Training/<class>/`");
        check(&[("r/Training/a/1.jpg", COLOUR)], "the archive has no picture in `Test/<class>/`");
        check(
            &[("r/Training/a/1.jpg", COLOUR), ("r/Test/b/1.jpg", COLOUR)],
            "entry `r/Test/b/1.jpg` has the class `b`, which `Training` does not have",
        );
        check(
            &[("q/Training/a/1.jpg", COLOUR), ("r/Training/a/1.jpg", COLOUR)],
            "entries `q/Training/a/1.jpg` and `r/Training/a/1.jpg` are in two datasets",
        );
        check(&[("r/Training/1.jpg", COLOUR)], "entry `r/Training/1.jpg` is not at `Training/<class>/<picture>`");
        check(
            &[("r/Training/a/b/1.jpg", COLOUR)],
            "entry `r/Training/a/b/1.jpg` is not at `Training/<class>/<picture>`",
        );
        check(
            &[("r/Training/a/1.jpg", b"GIF89a"), ("r/Test/a/1.jpg", COLOUR)],
            "entry `r/Training/a/1.jpg` is a GIF picture that is",
        );
        check(
            &[("r/Training/a/1.jpg", &COLOUR[..200]), ("r/Test/a/1.jpg", COLOUR)],
            "entry `r/Training/a/1.jpg` is a truncated JPEG",
        );
        let cut = &png(9, 9, ExtendedColorType::L8, &[7; 81])[..50];
        check(
            &[("r/Training/a/1.png", cut), ("r/Test/a/1.jpg", COLOUR)],
            "entry `r/Training/a/1.png` is a PNG picture",
        );
        assert!(read(&gzip(b""), "Training", "Test", [2, 2], &QuietHost).is_err());
    }
}
