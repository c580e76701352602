//! `decode`: turns a publisher's files into splits, labels, statistics and a contact sheet.

mod chosen;
mod cifar;
mod collection;
mod contact;
mod gallery;
mod idx;
mod layout;
mod near;
mod params;
mod pattern;
mod scan;
mod shares;
mod split;
mod statistics;

use std::collections::{BTreeMap, BTreeSet};

use collection::{Collection, Part};
use gallery::Gallery;
pub use params::{
    Broken, ClassChange, Classes, Decode, Folders, Format, Fraction, Names, Repeated, Table, TestImages, TestShare,
    Validation,
};
pub use pattern::Pattern;
use pipe_store::Digest;
use split::{Choice, stratified};
pub use statistics::pixels;

use crate::{
    containers::Source,
    images::{
        dataset::{self, ImageShape, Labels},
        sheet::Sheet,
    },
    params::sorted_record,
    pictures::{self, Reading},
    records::{Head, Inventory, NearDuplicates, Record, Statistics, Version},
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

/// The most bytes in the file of a picture.
pub const PICTURE_FILE: u64 = pictures::MAX_FILE;

/// Returns the pixels of a picture, `[c, h, w]` from 0 to 255, read as `reading` says. With one channel, they are the luma
/// (ITU-R BT.601, with weights in thousandths).
///
/// # Errors
/// If `bytes` cannot be read as a picture. The message continues "the file is ...".
pub fn picture(bytes: &[u8], reading: &Reading, channels: usize) -> Result<Vec<u8>, String> {
    let planes = pictures::planes(bytes, reading)?;
    if channels == 3 {
        return Ok(planes);
    }
    let size = planes.len() / 3;
    let [red, green, blue] = [0, 1, 2].map(|channel| &planes[channel * size..][..size]);
    let luma = |((r, g), b): ((&u8, &u8), &u8)| {
        let thousandths = 299 * u32::from(*r) + 587 * u32::from(*g) + 114 * u32::from(*b);
        ((thousandths + 500) / 1000) as u8
    };
    Ok(red.iter().zip(green).zip(blue).map(luma).collect())
}

impl Decode {
    /// Returns the names that files must have if there are several. Empty if they may have any.
    pub fn slots(&self) -> &'static [&'static str] {
        if self.format == Format::Idx { &idx::SLOTS } else { &[] }
    }

    /// Returns the names of the splits. Split `x` is the output `x.safetensors`.
    pub fn splits(&self) -> &'static [&'static str] {
        match self.validation {
            Validation::None => &["train", "test"],
            Validation::Stratified(_) | Validation::Official => &["train", "validation", "test"],
            Validation::OfficialTest => &["train", "validation"],
        }
    }

    /// Returns how pictures are read. A format without files of pictures has the size 1 x 1.
    pub fn reading(&self) -> Reading {
        Reading {
            size: self.format.size().unwrap_or([1, 1]),
            resize: self.resize.clone(),
            background: self.background,
            orientation: self.orientation.clone(),
            white: self.white,
        }
    }

    /// Returns the shape of decoded pictures.
    fn image_shape(&self) -> ImageShape {
        let [height, width] = self.reading().size.map(|side| side as usize);
        ImageShape { channels: 3, height, width }
    }

    /// Returns the images of each split of a collection, by name.
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
            Validation::Official => unreachable!("only formats of pictures have validation images"),
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

    /// Tells classes of which the validation split takes much more than its share.
    fn tell_validation(&self, heads: &[Head], splits: &BTreeMap<&'static str, Part>) {
        let (Validation::Stratified(share), Some(validation)) = (&self.validation, splits.get("validation")) else {
            return;
        };
        let count = |part: &Part, class: usize| part.labels[0].iter().filter(|label| **label as usize == class).count();
        let classes = heads[0].classes.iter().enumerate().map(|(class, name)| {
            let (taken, left) = (count(validation, class), count(&splits["train"], class));
            (name.clone(), taken + left, taken)
        });
        split::tell("validation", share.fraction, classes);
    }

    /// Returns the data set, and the pictures if the format has any.
    fn read(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Images, StageError> {
        let source = Source::open(inputs)?;
        if self.format.size().is_some() {
            let gallery = gallery::read(self, &source, context.host)?;
            source.tell();
            return Ok(Images {
                shape: gallery.shape,
                heads: gallery.heads.clone(),
                published: None,
                gallery: Some(gallery),
            });
        }
        let Collection { shape, heads, train, test } = match &self.format {
            Format::Cifar10 => cifar::cifar10(&source)?,
            Format::Cifar100 => cifar::cifar100(&source)?,
            _ => {
                let names = match &self.classes {
                    Some(Classes::Names(names)) => Some(names.as_slice()),
                    _ => None,
                };
                idx::read(&source, names)?
            }
        };
        source.tell();
        Ok(Images { shape, heads, published: Some((train, test)), gallery: None })
    }
}

/// Images as they were read.
struct Images {
    shape: ImageShape,
    heads: Vec<Head>,
    /// The training and the test images of the publisher, if they are not divided yet.
    published: Option<(Part, Part)>,
    gallery: Option<Gallery>,
}

/// Returns the error for a stratified validation split that would be empty.
fn no_validation(labels: &[i32], fraction: f64) -> StageError {
    let (images, classes) = (labels.len(), labels.iter().collect::<BTreeSet<_>>().len());
    StageError::failed_with_hint(
        format!("the validation split is empty: it is {fraction} of {images} images in {classes} classes"),
        "at least one class needs two training images: use more images, a larger `subset` or another `validation`",
    )
}

/// Returns the digests of the images of each part with their labels of the main head.
fn labelled(
    parts: &BTreeMap<&'static str, Part>,
    digests: &BTreeMap<&'static str, Vec<Digest>>,
) -> BTreeMap<&'static str, Vec<(Digest, i32)>> {
    let pairs = |name: &str| digests[name].iter().copied().zip(parts[name].labels[0].iter().copied()).collect();
    parts.keys().map(|name| (*name, pairs(name))).collect()
}

/// Returns the sheet of near duplicates: a pair in each row.
fn near_sheet(near: &NearDuplicates, parts: &BTreeMap<&'static str, Part>, shape: ImageShape) -> Vec<u8> {
    let mut sheet = Sheet::new(shape, 2);
    for pair in &near.pairs {
        for (split, image) in [(&pair.split, pair.image), (&pair.of, pair.other)] {
            sheet.push(&parts[split.as_str()].images[image * shape.bytes()..][..shape.bytes()]);
        }
        sheet.end_row();
    }
    sheet.png()
}

impl Stage for Decode {
    fn id(&self) -> StageId {
        StageId { name: "decode", version: 2 }
    }

    fn memory(&self, inputs: &Inputs<'_>) -> Result<u64, StageError> {
        let source = Source::open(inputs)?;
        let images = match self.format.size() {
            Some(_) => gallery::memory(self, &source)?,
            // The images, twice: as read and as chosen, or as chosen and as written.
            None => 2 * source.unpacked(),
        };
        Ok((64 << 20) + source.packed() + images)
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        let Images { shape, heads, published, mut gallery } = self.read(inputs, context)?;
        if context.host.interrupted() {
            return Err(StageError::Interrupted);
        }
        let digests_of = |parts: &BTreeMap<&'static str, Part>| -> BTreeMap<&'static str, Vec<Digest>> {
            parts.iter().map(|(name, part)| (*name, statistics::digests(part, shape))).collect()
        };
        let (mut splits, published_duplicates) = match (&mut gallery, published) {
            (Some(gallery), _) => (std::mem::take(&mut gallery.splits), None),
            (None, Some((train, test))) => {
                let parts = BTreeMap::from([("train", train), ("test", test)]);
                let duplicates = statistics::duplicates(&labelled(&parts, &digests_of(&parts)));
                let mut parts = parts;
                let (train, test) =
                    (parts.remove("train").expect("it is there"), parts.remove("test").expect("it is there"));
                let splits = self.split(shape, train, test)?;
                self.tell_validation(&heads, &splits);
                (splits, Some(duplicates))
            }
            (None, None) => unreachable!("there are images"),
        };
        let mut digests = digests_of(&splits);
        // What was published as training images, and is divided now.
        let published_duplicates = published_duplicates.unwrap_or_else(|| {
            let mut labelled = labelled(&splits, &digests);
            if let Some(validation) = labelled.remove("validation") {
                labelled.entry("train").or_default().extend(validation);
            }
            statistics::duplicates(&labelled)
        });
        if self.duplicates == Repeated::Drop {
            for (name, kept) in statistics::without_repeated(&digests) {
                let part = splits.get_mut(name).expect("it has digests");
                if kept.len() == part.len() {
                    continue;
                }
                if kept.is_empty() {
                    return Err(StageError::failed(format!(
                        "every image of the {name} split is in another split, too"
                    )));
                }
                tracing::warn!(
                    "{} images are left out of the {name} split: another split has them",
                    part.len() - kept.len()
                );
                *part = part.select(shape, &kept);
                let of = digests.get_mut(name).expect("it has digests");
                *of = kept.iter().map(|image| of[*image]).collect();
                if let Some(gallery) = &mut gallery {
                    gallery.keep(name, &kept);
                }
            }
        }
        let near = near::near(
            &splits.iter().map(|(name, part)| (*name, (&part.images[..], &digests[name][..]))).collect(),
            shape,
        );
        let train = &splits["train"];
        let statistics = Statistics {
            format: Version,
            splits: splits.iter().map(|(name, part)| ((*name).to_owned(), statistics::counts(part, &heads))).collect(),
            pixels: pixels(&train.images, shape),
            duplicates: statistics::duplicates(&labelled(&splits, &digests)),
            published_duplicates,
            near_duplicates: Some(near),
        };
        let contact = contact::sheet(shape, &heads, train);
        let labels = Labels { format: Version, heads, image: shape };
        let mut outputs = Outputs::default().with_record(&labels).with_record(&statistics).with("contact.png", contact);
        let near = statistics.near_duplicates.as_ref().expect("it was counted");
        if !near.pairs.is_empty() {
            outputs.insert("near_duplicates.png", near_sheet(near, &splits, shape));
        }
        if let Some(mut gallery) = gallery {
            gallery.number();
            outputs.insert(Inventory::FILE, sorted_record(&gallery.inventory));
        }
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
