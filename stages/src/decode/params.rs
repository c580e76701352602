//! The parameters of `decode`.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::defaults;

/// Reads a publisher's files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decode {
    pub format: Format,
    /// Where the validation split comes from. Default: a stratified tenth of the training images.
    #[serde(default = "validation::value", skip_serializing_if = "validation::is", deserialize_with = "null_is_none")]
    pub validation: Validation,
    /// Only a part of the training images (before the validation split is taken) and of the test images, stratified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<Fraction>,
    /// The classes' names in the order of their numbers, for [`Format::Idx`], which has none. Default: the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
}

defaults! {
    validation: Validation = Validation::Stratified(Fraction { fraction: 0.1, seed: 0 });
    training: String = "Training".to_owned();
    test: String = "Test".to_owned();
}

/// The layout of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Format {
    /// `cifar-10-binary.tar.gz`: one head, `class`.
    Cifar10,
    /// `cifar-100-binary.tar.gz`: the heads `fine` (the main one) and `coarse`.
    Cifar100,
    /// The four `.gz` files of MNIST, Fashion-MNIST and their kin: one head, `class`.
    Idx,
    /// A `.tar.gz` with a folder per class of JPEG and PNG pictures: one head, `class`.
    Folders {
        /// The folder of the training images. Default: `Training`.
        #[serde(default = "training::value", skip_serializing_if = "training::is")]
        train: String,
        /// The folder of the test images. Default: `Test`.
        #[serde(default = "test::value", skip_serializing_if = "test::is")]
        test: String,
        /// [height, width] that pictures are scaled to.
        size: [u32; 2],
    },
}

/// Where the validation split comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Validation {
    /// There is none.
    None,
    /// As many of each class of the training images (by the main head) as its share.
    Stratified(Fraction),
    /// The test images are the validation split, and there is no test split: the protocol of studies that have none.
    OfficialTest,
}

/// A share of the images, and which: `0.1`, or `(fraction: 0.1, seed: 3)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fraction {
    /// Between 0 and 1, both exclusive.
    pub fraction: f64,
    /// Default: 0.
    #[serde(skip_serializing_if = "crate::params::is_default")]
    pub seed: u32,
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            fraction: f64,
            #[serde(default)]
            seed: u32,
        }

        struct NumberOrMap;

        impl<'de> de::Visitor<'de> for NumberOrMap {
            type Value = Fraction;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a fraction such as 0.1 or (fraction: 0.1, seed: 3)")
            }

            fn visit_f64<E: de::Error>(self, fraction: f64) -> Result<Fraction, E> {
                Ok(Fraction { fraction, seed: 0 })
            }

            fn visit_u64<E: de::Error>(self, fraction: u64) -> Result<Fraction, E> {
                self.visit_f64(fraction as f64)
            }

            fn visit_i64<E: de::Error>(self, fraction: i64) -> Result<Fraction, E> {
                self.visit_f64(fraction as f64)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Fraction, A::Error> {
                let Full { fraction, seed } = Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Fraction { fraction, seed })
            }
        }

        deserializer.deserialize_any(NumberOrMap)
    }
}

/// RON's `None` arrives as null.
fn null_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Validation, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(Validation::None))
}

impl Format {
    /// Returns the shape of the images, [channels, height, width], where it is known before they are read.
    pub fn shape(&self) -> Option<[usize; 3]> {
        match self {
            Self::Cifar10 | Self::Cifar100 => Some([3, 32, 32]),
            Self::Idx => None,
            Self::Folders { size: [height, width], .. } => Some([3, *height as usize, *width as usize]),
        }
    }
}

impl Decode {
    /// Returns what is wrong with the values: (path inside the parameters, what was found and what is allowed).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut problem = |path: &str, message: String| problems.push((path.to_owned(), message));
        if let Format::Folders { train, test, size } = &self.format {
            for (i, side) in size.iter().enumerate().filter(|(_, side)| !(1..=4096).contains(*side)) {
                problem(&format!("format.Folders.size[{i}]"), format!("found {side}, allowed: 1 to 4096"));
            }
            for (field, folder) in [("train", train), ("test", test)] {
                if folder.is_empty() || folder.contains('/') || folder == "." || folder == ".." {
                    let path = format!("format.Folders.{field}");
                    problem(&path, format!("found `{folder}`, allowed: the name of one folder"));
                }
            }
            if train == test {
                problem("format.Folders.test", format!("found `{test}`, the folder of the training images too"));
            }
        }
        let fractions = [
            (
                "validation.Stratified",
                if let Validation::Stratified(share) = &self.validation { Some(share) } else { None },
            ),
            ("subset", self.subset.as_ref()),
        ];
        for (path, share) in fractions {
            if let Some(Fraction { fraction, .. }) =
                share.filter(|share| !(share.fraction > 0.0 && share.fraction < 1.0))
            {
                problem(&format!("{path}.fraction"), format!("found {fraction}, allowed: above 0 and below 1"));
            }
        }
        if let Some(classes) = &self.classes {
            if self.format != Format::Idx {
                problem(
                    "classes",
                    "found names, allowed: with `Idx` alone, as other formats name their classes".to_owned(),
                );
            }
            if classes.is_empty() || classes.len() > 256 {
                problem("classes", format!("found {} names, allowed: 1 to 256", classes.len()));
            }
            let mut seen = BTreeSet::new();
            for (i, name) in classes.iter().enumerate() {
                if name.is_empty() || !seen.insert(name) {
                    problem(&format!("classes[{i}]"), format!("found `{name}`, allowed: names that differ"));
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, canonical: &str) {
        let params: Decode = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&params).unwrap(), canonical);
        assert_eq!(serde_json::from_str::<Decode>(canonical).unwrap(), params);
        assert_eq!(params.problems(), []);
    }

    #[test]
    fn equal_meaning_is_equal_text() {
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
        let params: Decode = serde_json::from_str(
            r#"{"format":{"Folders":{"train":"a","test":"a","size":[0,5000]}},"validation":{"Stratified":1.0},
                "subset":-1,"classes":["x","x"]}"#,
        )
        .unwrap();
        let found: Vec<String> = params.problems().iter().map(|(path, message)| format!("{path}: {message}")).collect();
        assert_eq!(
            found,
            [
                "format.Folders.size[0]: found 0, allowed: 1 to 4096",
                "format.Folders.size[1]: found 5000, allowed: 1 to 4096",
                "format.Folders.test: found `a`, the folder of the training images too",
                "validation.Stratified.fraction: found 1, allowed: above 0 and below 1",
                "subset.fraction: found -1, allowed: above 0 and below 1",
                "classes: found names, allowed: with `Idx` alone, as other formats name their classes",
                "classes[1]: found `x`, allowed: names that differ",
            ]
        );
    }
}
