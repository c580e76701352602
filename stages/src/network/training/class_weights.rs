//! The weights of the classes in the loss of the first head.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    params::{Domain, Hyper, Read, Unfilled},
    problem::{Path, Problem},
    words::closest,
};

/// The weight of each class. The loss of an image is multiplied by the weight of its class.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeights {
    /// Every class has the weight 1.
    Equal,
    /// The number of images divided by (the number of classes times the number of images of the class), so that all classes
    /// contribute alike and the mean weight of an image is 1 (King and Zeng 2001; scikit-learn's `compute_class_weight`).
    Balanced,
    /// The weight of each class by its name. Other classes have the weight 1.
    Given(BTreeMap<String, Hyper<f64>>),
}

const NAMES: [&str; 2] = ["Equal", "Balanced"];
const WEIGHT: Domain = Domain::NotNegative;

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Equal => serializer.serialize_str(NAMES[0]),
            Self::Balanced => serializer.serialize_str(NAMES[1]),
            Self::Given(weights) => weights.serialize(serializer),
        }
    }
}

impl Read for ClassWeights {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        match value {
            Value::Object(_) => BTreeMap::read(value, &WEIGHT, at, problems).map(Self::Given),
            Value::String(name) if name == NAMES[0] => Some(Self::Equal),
            Value::String(name) if name == NAMES[1] => Some(Self::Balanced),
            _ => {
                problems.push(Problem::found(at, value).expected(Self::expected(domain)));
                None
            }
        }
    }

    fn expected(_: &Domain) -> String {
        "`Equal`, `Balanced` or weights by class: `{\"cat\": 2.0}`".to_owned()
    }

    fn brief(_: &Domain) -> String {
        "`Equal`, `Balanced` or `{\"class\": weight}`".to_owned()
    }

    fn settled(&self, _: &Domain, name: &str, labels: &Map<String, Value>) -> Result<Self, Unfilled> {
        let Self::Given(weights) = self else { return Ok(self.clone()) };
        let settled = |(class, weight): (&String, &Hyper<f64>)| {
            Ok((class.clone(), weight.settled(&WEIGHT, &format!("{name}.{class}"), labels)?))
        };
        weights.iter().map(settled).collect::<Result<_, _>>().map(Self::Given)
    }
}

/// Why there are no weights.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unweighted {
    /// A class is named that the data do not have. Says which, and what to do.
    Unknown(String, String),
    /// Every class that has images has the weight 0.
    Nothing,
}

impl ClassWeights {
    /// Returns the weight of each class, given the classes' names and numbers of images, or `None` if all are 1. With
    /// `Balanced`, only classes that have images count, and the others have the weight 1, which nothing reads.
    ///
    /// # Errors
    /// If a name is unknown, or all weights are 0.
    pub(crate) fn of(&self, names: &[String], images: &[u64]) -> Result<Option<Vec<f64>>, Unweighted> {
        match self {
            Self::Equal => Ok(None),
            Self::Balanced => {
                let n: u64 = images.iter().sum();
                let classes = images.iter().filter(|&&images| images > 0).count() as u64;
                let weight = |&images: &u64| if images == 0 { 1.0 } else { n as f64 / (classes * images) as f64 };
                Ok(Some(images.iter().map(weight).collect()))
            }
            Self::Given(given) => {
                if let Some(unknown) = given.keys().find(|name| !names.contains(name)) {
                    return Err(unknown_class(unknown, names));
                }
                let weight = |name: &String| given.get(name).map_or(1.0, Hyper::get);
                let weights: Vec<_> = names.iter().map(weight).collect();
                let counts = |(weight, images): (&f64, &u64)| *weight > 0.0 && *images > 0;
                if weights.iter().zip(images).any(counts) { Ok(Some(weights)) } else { Err(Unweighted::Nothing) }
            }
        }
    }
}

/// The most classes that a message lists.
const LISTED: usize = 20;

fn unknown_class(unknown: &str, names: &[String]) -> Unweighted {
    let listed: Vec<_> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    let listed = match names.len() {
        n if n <= LISTED => format!("the classes are {}", listed.join(", ")),
        n => format!("the first of {n} classes are {}", listed.join(", ")),
    };
    let hint = match closest(unknown, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`? {listed}"),
        None => listed,
    };
    Unweighted::Unknown(format!("`class_weights`: there is no class `{unknown}`"), hint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::params::read;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn weights(value: Value) -> ClassWeights {
        read(&value).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// Expected values follow from the formula of scikit-learn 1.7, n_samples / (n_classes * np.bincount(y)), by hand:
    /// y = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2] gives 10 / (3 * 6), 10 / (3 * 3) and 10 / (3 * 1).
    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        let found = ClassWeights::Balanced.of(&names(&["a", "b", "c"]), &[6, 3, 1]).unwrap().unwrap();
        for (found, expected) in found.iter().zip([10.0 / 18.0, 10.0 / 9.0, 10.0 / 3.0]) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
        // The mean weight of an image is 1, and classes without images are not counted.
        let found = ClassWeights::Balanced.of(&names(&["a", "b", "c"]), &[6, 0, 2]).unwrap().unwrap();
        assert_eq!(found, [8.0 / 12.0, 1.0, 2.0]);
        assert_eq!(6.0 * found[0] + 2.0 * found[2], 8.0);
    }

    #[test]
    fn given_weights_are_for_classes_that_exist() {
        let classes = names(&["cat", "dog", "emu"]);
        let given = |json| weights(json).of(&classes, &[1, 1, 1]);
        assert_eq!(given(json!({ "dog": 2.5, "emu": 0 })), Ok(Some(vec![1.0, 2.5, 0.0])));
        assert_eq!(given(json!("Equal")), Ok(None));
        let Err(Unweighted::Unknown(found, hint)) = given(json!({ "dgo": 2 })) else { panic!("it is unknown") };
        assert_eq!(found, "`class_weights`: there is no class `dgo`");
        assert_eq!(hint, "did you mean `dog`? the classes are `cat`, `dog`, `emu`");
        assert_eq!(given(json!({ "cat": 0, "dog": 0, "emu": 0 })), Err(Unweighted::Nothing));
        assert_eq!(weights(json!({ "cat": 0, "dog": 0 })).of(&classes, &[3, 1, 0]), Err(Unweighted::Nothing));
    }

    #[test]
    fn weights_are_read_and_written() {
        for json in [json!("Equal"), json!("Balanced"), json!({ "cat": 2.0, "dog": { "hp": "w" } })] {
            assert_eq!(serde_json::to_value(weights(json.clone())).unwrap(), json);
        }
        let problem = |json| read::<ClassWeights>(&json).unwrap_err()[0].to_string();
        assert_eq!(problem(json!({ "cat": -1 })), "`cat`: found `-1`, expected a number of at least 0");
        let expected = "found `Balance`, expected `Equal`, `Balanced` or weights by class: `{\"cat\": 2.0}`";
        assert_eq!(problem(json!("Balance")), expected);
    }
}
