//! `decode`: turns a publisher's files into splits, labels, statistics and a contact sheet.

mod archive;
mod cifar;
mod collection;
mod contact;
mod folders;
mod idx;
mod params;
mod split;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};

use archive::Limits;
use collection::{Collection, Part};
pub use params::{Decode, Folders, Format, Fraction, Validation};
use split::{Choice, stratified};
pub use statistics::pixels;

use crate::{
    images::dataset::{self, ImageShape, Labels},
    pictures::{self, Reading},
    records::{Statistics, Version},
    stage::{Context, Host, Inputs, Outputs, Stage, StageError, StageId},
};

/// The most bytes in the file of a picture.
pub const PICTURE_FILE: u64 = pictures::MAX_FILE;

/// The input slot of every format except [`Format::Idx`].
pub const ARCHIVE: &str = "archive";

/// Returns the pixels of a picture, `[c, h, w]` from 0 to 255, scaled to `shape` as for [`Format::Folders`]. If
/// `shape` has one channel, it is the luma (ITU-R BT.601, with weights in thousandths).
///
/// # Errors
/// If `bytes` cannot be read as a picture. The message continues "the file is ...".
pub fn picture(bytes: &[u8], shape: ImageShape) -> Result<Vec<u8>, String> {
    let side = |side: usize| u32::try_from(side).map_err(|_| format!("to be scaled to a side of {side} pixels"));
    let planes = pictures::planes(bytes, &Reading::of_size(side(shape.height)?, side(shape.width)?))?;
    if shape.channels == 3 {
        return Ok(planes);
    }
    let size = shape.height * shape.width;
    let [red, green, blue] = [0, 1, 2].map(|channel| &planes[channel * size..][..size]);
    let luma = |((r, g), b): ((&u8, &u8), &u8)| {
        let thousandths = 299 * u32::from(*r) + 587 * u32::from(*g) + 114 * u32::from(*b);
        ((thousandths + 500) / 1000) as u8
    };
    Ok(red.iter().zip(green).zip(blue).map(luma).collect())
}

impl Decode {
    /// Returns the input slots that must be connected.
    pub fn slots(&self) -> &'static [&'static str] {
        match self.format {
            Format::Idx => &idx::SLOTS,
            _ => &[ARCHIVE],
        }
    }

    /// Returns the names of the splits. Split `x` is the output `x.safetensors`.
    pub fn splits(&self) -> &'static [&'static str] {
        match self.validation {
            Validation::None => &["train", "test"],
            Validation::Stratified(_) => &["train", "validation", "test"],
            Validation::OfficialTest => &["train", "validation"],
        }
    }

    fn read(&self, inputs: &Inputs<'_>, host: &dyn Host) -> Result<Collection, StageError> {
        match &self.format {
            Format::Cifar10 => cifar::cifar10(&inputs.bytes(ARCHIVE)?),
            Format::Cifar100 => cifar::cifar100(&inputs.bytes(ARCHIVE)?),
            Format::Folders(Folders { train, test, size }) => {
                folders::read(&inputs.bytes(ARCHIVE)?, train, test, *size, host)
            }
            Format::Idx => {
                let [a, b, c, d] = idx::SLOTS.map(|slot| inputs.bytes(slot));
                idx::read([&a?, &b?, &c?, &d?], self.classes.as_deref())
            }
        }
    }

    /// Returns the images of each split, by name.
    ///
    /// # Errors
    /// If a stratified validation split would be empty.
    fn split(&self, shape: ImageShape, train: Part, test: Part) -> Result<BTreeMap<&'static str, Part>, StageError> {
        let subset = |part: Part, choice| match &self.subset {
            Some(subset) => {
                let (chosen, _) = stratified(&part.labels[0], subset.fraction, subset.seed, choice);
                part.select(shape, &chosen)
            }
            None => part,
        };
        let (train, test) = (subset(train, Choice::TrainSubset), subset(test, Choice::TestSubset));
        Ok(match &self.validation {
            Validation::None => BTreeMap::from([("train", train), ("test", test)]),
            Validation::OfficialTest => BTreeMap::from([("train", train), ("validation", test)]),
            Validation::Stratified(share) => {
                let (chosen, left) = stratified(&train.labels[0], share.fraction, share.seed, Choice::Validation);
                if chosen.is_empty() {
                    return Err(no_validation(&train.labels[0], share.fraction));
                }
                let (validation, train) = (train.select(shape, &chosen), train.select(shape, &left));
                BTreeMap::from([("train", train), ("validation", validation), ("test", test)])
            }
        })
    }
}

/// Returns the error for a stratified validation split that would be empty.
fn no_validation(labels: &[i32], fraction: f64) -> StageError {
    let (images, classes) = (labels.len(), labels.iter().collect::<BTreeSet<_>>().len());
    StageError::failed_with_hint(
        format!("the validation split is empty: it is {fraction} of {images} images in {classes} classes"),
        "at least one class needs two training images: use more images, a larger `subset` or another `validation`",
    )
}

impl Stage for Decode {
    fn id(&self) -> StageId {
        StageId { name: "decode", version: 1 }
    }

    fn memory(&self, inputs: &Inputs<'_>) -> Result<u64, StageError> {
        let mut bytes = 64 << 20;
        for slot in self.slots() {
            let input = inputs.bytes(slot)?;
            // The images, twice: as read and as chosen, or as chosen and as written.
            bytes += input.len() as u64;
            bytes += match &self.format {
                Format::Folders(Folders { train, test, size }) => folders::memory(&input, train, test, *size)?,
                _ => 2 * archive::unpacked_length(&input).min(Limits::of(input.len()).total),
            };
        }
        Ok(bytes)
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        let Collection { shape, heads, train, test } = self.read(inputs, context.host)?;
        if context.host.interrupted() {
            return Err(StageError::Interrupted);
        }
        let published_duplicates = statistics::duplicates(&BTreeMap::from([("train", &train), ("test", &test)]), shape);
        let splits = self.split(shape, train, test)?;
        let train = &splits["train"];
        let by_name = splits.iter().map(|(name, part)| (*name, part)).collect();
        let statistics = Statistics {
            format: Version,
            splits: splits.iter().map(|(name, part)| ((*name).to_owned(), statistics::counts(part, &heads))).collect(),
            pixels: pixels(&train.images, shape),
            duplicates: statistics::duplicates(&by_name, shape),
            published_duplicates,
        };
        let contact = contact::sheet(shape, &heads, train);
        let labels = Labels { format: Version, heads, image: shape };
        let mut outputs = Outputs::default().with_record(&labels).with_record(&statistics).with("contact.png", contact);
        for (name, part) in splits {
            let heads: Vec<(&str, &[i32])> = labels
                .heads
                .iter()
                .zip(&part.labels)
                .map(|(head, values)| (head.name.as_str(), values.as_slice()))
                .collect();
            outputs.insert(format!("{name}.safetensors"), dataset::write(labels.image, part.images, &heads));
        }
        Ok(outputs)
    }
}

#[cfg(test)]
mod tests;
