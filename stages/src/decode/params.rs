//! The parameters of `decode`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    choices, parameters,
    params::{Declared, Domain, Read},
    problem::{Path, Problem},
};

parameters! {
    /// Reads the files of a dataset's publisher.
    pub struct Decode where classes_fit_the_format {
        /// The layout of the files.
        format: Format,
        /// Where the validation split comes from.
        validation: Validation = Validation::Stratified(Fraction { fraction: 0.1, seed: 0 }),
        /// The share of the images that is used, of each class alike. It is taken before the validation split. `None`: all.
        subset: Option<Fraction>,
        /// Names of the classes, in the order of their numbers. Only for `Idx`. Defaults to the numbers.
        classes: Option<Vec<String>>,
    }
}

choices! {
    /// The layout of the files.
    #[derive(Eq)]
    pub enum Format {
        /// `cifar-10-binary.tar.gz`: one head, `class`.
        Cifar10,
        /// `cifar-100-binary.tar.gz`: the heads `fine` (the main one) and `coarse`.
        Cifar100,
        /// The four `.gz` files of MNIST, Fashion-MNIST and similar datasets: one head, `class`.
        Idx,
        /// A `.tar.gz` of JPEG and PNG pictures with a folder for each class: one head, `class`.
        Folders(Folders),
    }
}

parameters! {
    /// The folders of pictures, and the size that pictures are scaled to.
    #[derive(Eq)]
    pub struct Folders where folders_differ {
        /// The folder of the training images.
        train: String = "Training".to_owned(),
        /// The folder of the test images.
        test: String = "Test".to_owned(),
        /// The size that pictures are scaled to, [height, width].
        size: [u32; 2] [Domain::Whole(1..=4096)],
    }
}

choices! {
    /// Where the validation split comes from.
    pub enum Validation {
        /// There is no validation split.
        None,
        /// This share of the training images of each class of the main head.
        Stratified(Fraction),
        /// The test images are the validation split, and there is no test split.
        OfficialTest,
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
            Self::Folders(Folders { size: [height, width], .. }) => Some([3, *height as usize, *width as usize]),
        }
    }
}

impl Folders {
    fn folders_differ(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        for (field, folder) in [("train", &self.train), ("test", &self.test)] {
            if folder.is_empty() || folder.contains('/') || folder == "." || folder == ".." {
                let problem = Problem::new(at.name(field), format!("found `{folder}`"));
                problems.push(problem.expected("the name of one folder"));
            }
        }
        if self.train == self.test {
            let found = format!("found `{}`, which is also the folder of the training images", self.test);
            problems.push(Problem::new(at.name("test"), found).expected("another folder"));
        }
        self
    }
}

impl Decode {
    fn classes_fit_the_format(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        let Some(classes) = &self.classes else { return self };
        let at = at.name("classes");
        if self.format != Format::Idx {
            let found = format!("found names, but `{}` has names of its own", self.format.name());
            problems.push(Problem::new(&at, found).expected("`classes` only with `Idx`"));
        }
        if classes.is_empty() || classes.len() > 256 {
            problems.push(Problem::new(&at, format!("found {} names", classes.len())).expected("1 to 256"));
        }
        let mut seen = BTreeSet::new();
        for (i, name) in classes.iter().enumerate() {
            if name.is_empty() || !seen.insert(name) {
                let problem = Problem::new(at.index(i), format!("found `{name}`"));
                problems.push(problem.expected("different names"));
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
                "`classes`: found names, but `Folders` has names of its own, expected `classes` only with `Idx`",
                "`classes[1]`: found `x`, expected different names",
            ]
        );
    }
}
