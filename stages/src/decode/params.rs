//! The parameters of `decode`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::pattern::Pattern;
use crate::{
    choices, parameters,
    params::{Declared, Domain, Read},
    pictures::{Orientation, Resize},
    problem::{Path, Problem},
};

parameters! {
    /// Reads the files of a dataset.
    pub struct Decode where fits_the_format {
        /// The layout of the files.
        format: Format,
        /// Where the validation split comes from.
        validation: Validation = Validation::Stratified(Fraction { fraction: 0.1, seed: 0 }),
        /// The share of the images that is used, of each class alike. It is taken before the validation split. `None`: all.
        subset: Option<Fraction>,
        /// For `Idx`: the names of the classes, in the order of their numbers, which are the names by default. For pictures: which
        /// classes are used, or other names for them.
        classes: Option<Classes>,
        /// What becomes of images that are in two splits.
        duplicates: Repeated = Repeated::Keep,
        /// What becomes of pictures that cannot be read.
        broken: Broken = Broken::Refuse,
        /// What becomes of pictures of another shape than `size`.
        resize: Resize = Resize::Stretch,
        /// The colour under transparent pixels and beside padded pictures, [red, green, blue].
        background: [u8; 3] = [255; 3],
        /// Whether pictures are turned as their metadata say.
        orientation: Orientation = Orientation::Exif,
        /// The value of white in samples of 16 bits. What is larger is white, too.
        white: u32 [Domain::Whole(1..=65535)] = 65535,
    }
}

choices! {
    /// The layout of the files.
    pub enum Format {
        /// `cifar-10-binary.tar.gz`: one head, `class`.
        Cifar10,
        /// `cifar-100-binary.tar.gz`: the heads `fine` (the main one) and `coarse`.
        Cifar100,
        /// The four files of MNIST, Fashion-MNIST and similar datasets: one head, `class`.
        Idx,
        /// Pictures in a folder for each class: one head, `class`.
        Folders(Folders),
        /// Pictures with a table of their classes: one head, `class`.
        Labels(Table),
        /// Pictures with their classes in their names: one head, `class`.
        Names(Names),
    }
}

parameters! {
    /// Pictures in a folder for each class.
    pub struct Folders where folders_differ {
        /// The folder of the training images, in which each class has a folder. Defaults to `"Training"`, or to everything if `test`
        /// is a share.
        train: Option<String>,
        /// The folder of the test images, or the share of the images that is the test split.
        test: TestImages = TestImages::Folder("Test".to_owned()),
        /// The folder of the validation images. Only with `validation: Official`.
        validation: Option<String>,
        /// A pattern for the names of pictures, such as `"{group}_*"`. Pictures of one group are in one split.
        group: Option<Pattern>,
        /// The size that pictures are scaled to, [height, width].
        size: [u32; 2] [SIZE],
    }
}

parameters! {
    /// Pictures with a table of their classes.
    pub struct Table where has_a_test_split {
        /// The table, a file with a line of titles and commas, semicolons or tabs between its columns.
        csv: String,
        /// The column with the name of the picture: its path, or as much of its end as is needed, with or without the ending.
        file: String,
        /// The column with the class.
        label: String,
        /// The column that says `train`, `validation` or `test`.
        split: Option<String>,
        /// A column. Pictures with the same value there are in one split.
        group: Option<String>,
        /// The share of the images that is the test split, if `split` does not say it: `Share(0.15)`.
        test: Option<TestShare>,
        /// The size that pictures are scaled to, [height, width].
        size: [u32; 2] [SIZE],
    }
}

parameters! {
    /// Pictures with their classes in their names.
    pub struct Names where has_a_label {
        /// The pattern of the names: `"{label}_*.jpg"`. `{label}` is the class, `{group}` a group that is in one split, `{number}` are
        /// digits, and `*` is anything. With `/` it is a pattern for the end of the path. Other pictures are not used.
        pattern: Pattern,
        /// The share of the images that is the test split: `Share(0.15)`.
        test: TestShare,
        /// The size that pictures are scaled to, [height, width].
        size: [u32; 2] [SIZE],
    }
}

/// The sizes of pictures.
const SIZE: Domain = Domain::Whole(1..=4096);

choices! {
    /// The share of the images that is the test split. It is taken of each class alike, by the content of the pictures: one more
    /// picture does not move the others.
    pub enum TestShare {
        /// This share.
        Share(Fraction),
    }
}

/// The test images: a folder, `"Test"`, or a share of all images, `Share(0.15)`.
#[derive(Debug, Clone, PartialEq)]
pub enum TestImages {
    /// The folder of this name.
    Folder(String),
    /// This share of the images.
    Share(Fraction),
}

impl serde::Serialize for TestImages {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Folder(name) => name.serialize(serializer),
            Self::Share(share) => TestShare::Share(share.clone()).serialize(serializer),
        }
    }
}

impl Read for TestImages {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        match value {
            Value::String(name) => Some(Self::Folder(name.clone())),
            Value::Object(_) => {
                let TestShare::Share(share) = TestShare::read(value, domain, at, problems)?;
                Some(Self::Share(share))
            }
            value => {
                problems.push(Problem::found(at, value).expected(Self::expected(domain)));
                None
            }
        }
    }

    fn expected(_: &Domain) -> String {
        "the name of a folder, or `Share(0.15)`".to_owned()
    }

    fn brief(_: &Domain) -> String {
        "string or `Share(..)`".to_owned()
    }
}

choices! {
    /// Where the validation split comes from.
    pub enum Validation {
        /// There is no validation split.
        None,
        /// This share of the training images of each class of the main head.
        Stratified(Fraction),
        /// The validation images of the publisher: those of the folder `validation`, or of the column `split`.
        Official,
        /// The test images are the validation split, and there is no test split.
        OfficialTest,
    }
}

choices! {
    /// What becomes of images that are in two splits.
    #[derive(Copy, Eq)]
    pub enum Repeated {
        /// They stay. `statistics.json` counts them.
        Keep,
        /// An image with the pixels of a test image is left out of the validation and training splits, and one with the pixels of a
        /// validation image is left out of the training split.
        Drop,
    }
}

choices! {
    /// What becomes of pictures that cannot be read.
    #[derive(Copy, Eq)]
    pub enum Broken {
        /// The stage fails, and names all of them.
        Refuse,
        /// They are left out, and `inventory.json` names them.
        Skip,
    }
}

/// Which classes are used, and what they are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classes {
    /// The names of the classes of `Idx`, written as a list.
    Names(Vec<String>),
    /// One of the changes.
    Change(ClassChange),
}

choices! {
    /// A change of the classes of pictures.
    #[derive(Eq)]
    pub enum ClassChange {
        /// Pictures of these classes are not used.
        Exclude(Vec<String>),
        /// Only pictures of these classes are used.
        Only(Vec<String>),
        /// Old names with new ones. Classes that get the same name become one.
        Rename(BTreeMap<String, String>),
    }
}

impl serde::Serialize for Classes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Names(names) => names.serialize(serializer),
            Self::Change(change) => change.serialize(serializer),
        }
    }
}

impl Read for Classes {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        match value {
            Value::Array(_) => Vec::read(value, domain, at, problems).map(Self::Names),
            Value::Object(_) | Value::String(_) => ClassChange::read(value, domain, at, problems).map(Self::Change),
            value => {
                problems.push(Problem::found(at, value).expected(Self::expected(domain)));
                None
            }
        }
    }

    fn expected(_: &Domain) -> String {
        "a list of names, `Exclude([..])`, `Only([..])` or `Rename({..})`".to_owned()
    }
}

/// A random share of the images: `0.1` or `(fraction: 0.1, seed: 3)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fraction {
    /// The share, above 0 and below 1.
    pub fraction: f64,
    /// The seed of the draw.
    pub seed: u32,
}

parameters! {
    /// The fields of a [`Fraction`].
    struct WrittenOut {
        /// The share.
        fraction: f64 [Domain::Fraction],
        /// The seed of the draw.
        seed: u32 = 0,
    }
}

impl serde::Serialize for Fraction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WrittenOut { fraction: self.fraction, seed: self.seed }.serialize(serializer)
    }
}

impl Read for Fraction {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let written_out = match value {
            Value::Number(fraction) => WrittenOut::read(&json!({ "fraction": fraction }), domain, at, problems)?,
            Value::Object(fields) if fields.keys().any(|name| WrittenOut::NAMES.contains(&name.as_str())) => {
                WrittenOut::read(value, domain, at, problems)?
            }
            value => {
                problems.push(Problem::found(at, value).expected(Self::expected(domain)));
                return None;
            }
        };
        Some(Self { fraction: written_out.fraction, seed: written_out.seed })
    }

    fn expected(_: &Domain) -> String {
        "a fraction such as 0.1 or (fraction: 0.1, seed: 3)".to_owned()
    }
}

impl Format {
    /// Returns the shape of the images, `[channels, height, width]`, if it is known before they are read.
    pub fn shape(&self) -> Option<[usize; 3]> {
        match self {
            Self::Cifar10 | Self::Cifar100 => Some([3, 32, 32]),
            Self::Idx => None,
            Self::Folders(_) | Self::Labels(_) | Self::Names(_) => {
                self.size().map(|[height, width]| [3, height as usize, width as usize])
            }
        }
    }

    /// Returns the size that pictures are scaled to, `[height, width]`. `None` if the format has no files of pictures.
    pub fn size(&self) -> Option<[u32; 2]> {
        match self {
            Self::Cifar10 | Self::Cifar100 | Self::Idx => None,
            Self::Folders(Folders { size, .. })
            | Self::Labels(Table { size, .. })
            | Self::Names(Names { size, .. }) => Some(*size),
        }
    }
}

impl Folders {
    /// The folder of the training images if none is named.
    pub const TRAIN: &str = "Training";

    fn folders_differ(mut self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        if let TestImages::Folder(_) = self.test {
            // It is the default, and equal parameters are written equally.
            self.train = self.train.filter(|train| train != Self::TRAIN);
        }
        let mut known: Vec<(&str, &str)> = Vec::new();
        let of = |folder: &'static str| match folder {
            "training" => ("train", self.train()),
            "test" => (
                "test",
                match &self.test {
                    TestImages::Folder(test) => Some(test.as_str()),
                    TestImages::Share(_) => None,
                },
            ),
            _ => ("validation", self.validation.as_deref()),
        };
        for images in ["training", "test", "validation"] {
            let (field, Some(folder)) = of(images) else { continue };
            if folder.is_empty() || folder.contains('/') || folder == "." || folder == ".." {
                let problem = Problem::new(at.name(field), format!("found `{folder}`"));
                problems.push(problem.expected("the name of one folder"));
            }
            if let Some((other, _)) = known.iter().find(|(_, known)| *known == folder) {
                let found = format!("found `{folder}`, which is also the folder of the {other} images");
                problems.push(Problem::new(at.name(field), found).expected("another folder"));
            }
            known.push((images, folder));
        }
        if self.group.as_ref().is_some_and(|pattern| !pattern.has(Pattern::GROUP)) {
            let problem = Problem::new(at.name("group"), "found a pattern without `{group}`");
            problems.push(problem.expected("a pattern such as \"{group}_*\""));
        }
        self
    }

    /// Returns the folder of the training images. `None` if they are everything.
    pub fn train(&self) -> Option<&str> {
        match (&self.train, &self.test) {
            (Some(train), _) => Some(train),
            (None, TestImages::Folder(_)) => Some(Self::TRAIN),
            (None, TestImages::Share(_)) => None,
        }
    }
}

impl Table {
    fn has_a_test_split(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        if self.split.is_none() && self.test.is_none() {
            let problem = Problem::new(at, "nothing says which pictures are for testing");
            problems.push(problem.expected("`test: Share(0.15)`, or `split: \"..\"` with the name of a column"));
        }
        self
    }
}

impl Names {
    fn has_a_label(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        if !self.pattern.has(Pattern::LABEL) {
            let problem = Problem::new(at.name("pattern"), "found a pattern without `{label}`");
            problems.push(problem.expected("a pattern such as \"{label}_*.jpg\""));
        }
        self
    }
}

impl Decode {
    fn fits_the_format(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        let format = self.format.name();
        let is_of_pictures = self.format.size().is_some();
        let at_defaults = [
            ("broken", self.broken == Broken::Refuse),
            ("resize", self.resize == Resize::Stretch),
            ("background", self.background == [255; 3]),
            ("orientation", self.orientation == Orientation::Exif),
            ("white", self.white == 65535),
        ];
        for (field, _) in at_defaults.iter().filter(|(_, is_default)| !is_of_pictures && !is_default) {
            let found = format!("`{format}` has no files of pictures");
            problems.push(Problem::new(at.name(*field), found).expected(format!("no `{field}`")));
        }
        let has_official = match &self.format {
            Format::Folders(folders) => folders.validation.is_some(),
            Format::Labels(table) => table.split.is_some(),
            _ => false,
        };
        let is_official = self.validation == Validation::Official;
        if is_official && !has_official {
            let problem = Problem::new(at.name("validation"), "found `Official`, but no validation images are named");
            let help = "`Folders(validation: \"..\")`, `Labels(split: \"..\")` or another validation";
            problems.push(problem.expected(help));
        }
        if let Format::Folders(Folders { validation: Some(_), .. }) = self.format
            && !is_official
        {
            let problem = Problem::new(at.name("validation"), format!("found `{}`", self.validation.name()));
            problems.push(problem.expected("`validation: Official`, because a folder of validation images is named"));
        }
        let at = at.name("classes");
        match &self.classes {
            Some(Classes::Names(_)) if self.format != Format::Idx => {
                let found = format!("found names, but `{format}` has names of its own");
                let expected = match is_of_pictures {
                    true => "`Exclude([..])`, `Only([..])` or `Rename({..})`",
                    false => "`classes` only with `Idx` and pictures",
                };
                problems.push(Problem::new(&at, found).expected(expected));
            }
            Some(Classes::Change(change)) if !is_of_pictures => {
                let problem = Problem::new(&at, format!("found `{}`", change.name()));
                problems.push(problem.expected("it only with pictures"));
            }
            _ => {}
        }
        let lists = match &self.classes {
            Some(Classes::Names(names)) => vec![(at.clone(), names)],
            Some(Classes::Change(ClassChange::Exclude(names) | ClassChange::Only(names))) => vec![(at.clone(), names)],
            _ => Vec::new(),
        };
        for (at, names) in lists {
            if names.is_empty() || names.len() > 65536 {
                problems.push(Problem::new(&at, format!("found {} names", names.len())).expected("1 to 65536"));
            }
            let mut seen = BTreeSet::new();
            for (i, name) in names.iter().enumerate() {
                if name.is_empty() || !seen.insert(name) {
                    let problem = Problem::new(at.index(i), format!("found `{name}`"));
                    problems.push(problem.expected("different names"));
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, canonical: &str) {
        let params: Decode = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&params).unwrap(), canonical);
        assert_eq!(serde_json::from_str::<Decode>(canonical).unwrap(), params);
    }

    #[test]
    fn parameters_with_equal_meaning_are_written_equally() {
        let bare = r#"{"format":"Cifar100"}"#;
        check(bare, bare);
        check(r#"{"format":"Cifar100","validation":{"Stratified":0.1},"subset":null}"#, bare);
        check(r#"{"format":"Cifar100","validation":{"Stratified":{"seed":0,"fraction":0.1}}}"#, bare);
        check(
            r#"{"format":"Cifar100","validation":{"Stratified":{"seed":3,"fraction":0.2}},"subset":0.5}"#,
            r#"{"format":"Cifar100","validation":{"Stratified":{"fraction":0.2,"seed":3}},"subset":{"fraction":0.5}}"#,
        );
        check(r#"{"format":"Idx","validation":null}"#, r#"{"format":"Idx","validation":"None"}"#);
        check(r#"{"format":"Idx","validation":"OfficialTest"}"#, r#"{"format":"Idx","validation":"OfficialTest"}"#);
        check(
            r#"{"format":{"Folders":{"train":"Training","test":"Test","size":[50,60]}}}"#,
            r#"{"format":{"Folders":{"size":[50,60]}}}"#,
        );
        check(
            r#"{"format":{"Folders":{"test":{"Share":{"fraction":0.15}},"size":[50,60]}},"background":[255,255,255]}"#,
            r#"{"format":{"Folders":{"test":{"Share":{"fraction":0.15}},"size":[50,60]}}}"#,
        );
    }

    #[test]
    fn fields_that_do_not_fit_the_format_are_refused() {
        for (written, expected) in [
            (
                r#"{"format":"Cifar10","broken":"Skip"}"#,
                "`broken`: `Cifar10` has no files of pictures, expected no `broken`",
            ),
            (r#"{"format":"Idx","classes":{"Only":["a"]}}"#, "`classes`: found `Only`, expected it only with pictures"),
            (
                r#"{"format":"Cifar10","validation":"Official"}"#,
                "`validation`: found `Official`, but no validation images are named, expected `Folders(validation: \"..\")`, `Labels(split: \"..\")` or another validation",
            ),
            (
                r#"{"format":{"Folders":{"size":[1,1],"validation":"valid"}}}"#,
                "`validation`: found `Stratified`, expected `validation: Official`, because a folder of validation images is named",
            ),
            (
                r#"{"format":{"Labels":{"size":[1,1],"csv":"a","file":"b","label":"c"}}}"#,
                "`format.Labels`: nothing says which pictures are for testing, expected `test: Share(0.15)`, or `split: \"..\"` with the name of a column",
            ),
            (
                r#"{"format":{"Names":{"size":[1,1],"pattern":"*.jpg","test":{"Share":0.1}}}}"#,
                "`format.Names.pattern`: found a pattern without `{label}`, expected a pattern such as \"{label}_*.jpg\"",
            ),
        ] {
            let problems = crate::params::read::<Decode>(&serde_json::from_str(written).unwrap()).unwrap_err();
            assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        for json in [
            r#"{"format":"Idx","fromat":1}"#,
            r#"{"format":{"Folders":{"size":[1,1],"depth":2}}}"#,
            r#"{"format":"Idx","subset":{"fraction":0.1,"sed":1}}"#,
            r#"{"format":"Idx","subset":"half"}"#,
            r#"{"format":"Cifar"}"#,
        ] {
            assert!(serde_json::from_str::<Decode>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn problems_name_the_place_what_was_found_and_what_is_allowed() {
        let written = r#"{"format":{"Folders":{"train":"a","test":"a","size":[0,5000]}},"validation":{"Stratified":1.0},
            "subset":-1,"classes":["x","x"]}"#;
        let problems = crate::params::read::<Decode>(&serde_json::from_str(written).unwrap()).unwrap_err();
        assert_eq!(
            problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "`format.Folders.size[0]`: found `0`, expected a whole number of 1 to 4096",
                "`format.Folders.size[1]`: found `5000`, expected a whole number of 1 to 4096",
                "`format.Folders.test`: found `a`, which is also the folder of the training images, expected another folder",
                "`validation.Stratified.fraction`: found `1.0`, expected a number above 0 and below 1",
                "`subset.fraction`: found `-1`, expected a number above 0 and below 1",
                "`classes`: found names, but `Folders` has names of its own, expected `Exclude([..])`, `Only([..])` or `Rename({..})`",
                "`classes[1]`: found `x`, expected different names",
            ]
        );
    }
}
