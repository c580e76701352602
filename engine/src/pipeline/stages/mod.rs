//! The kinds of stages that a user writes, a file each: how one is read, what is checked, what is recorded, and which nodes it
//! becomes.

mod augment;
mod decode;
mod evaluate;
mod fetch;
mod reading;
mod retrain;
pub mod search;
pub mod train;
mod visualize_filters;

use std::{any::Any, fmt, sync::Arc};

use pipe_stages::{StageName, decode::Decode, network::training::Keep};
use serde::{
    Serialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Value, json};

pub use self::reading::Reading;
use self::train::TrainSpec;
use super::{check::Here, expand::Expansion, problem::Problem, spec::Stages};

/// The kinds of stages, in the order in which messages list them. A new kind is a line here.
pub static KINDS: [&StageKind; 8] = [
    &fetch::KIND,
    &decode::KIND,
    &augment::KIND,
    &train::KIND,
    &search::KIND,
    &retrain::KIND,
    &evaluate::KIND,
    &visualize_filters::KIND,
];

/// A kind of stage.
pub struct StageKind {
    /// Its name in a pipeline: `Train`.
    pub name: &'static str,
    /// The fields that name a stage to read from.
    pub reads: &'static [Reads],
    /// Whether it may name the test split. Trials are chosen on validation, so only `Evaluate` may.
    pub may_name_test_split: bool,
    /// The stages that only this kind executes, each with what one and several of its nodes are called.
    pub nouns: &'static [(StageName, [&'static str; 2])],
    /// Reads a stage of this kind from the text of a pipeline.
    pub read: fn(&mut Reading<'_, '_>) -> Option<Arc<dyn StageSpec>>,
    /// Reads a stage of this kind from the fields that [`StageSpec::fields`] recorded.
    pub from_record: fn(Fields) -> Result<Arc<dyn StageSpec>, serde_json::Error>,
}

/// A field that names a stage to read from.
pub struct Reads {
    /// Where it stands: `["of"]`, `["trial", "data"]`.
    pub path: &'static [&'static str],
    /// The kinds that the other stage may be of.
    pub kinds: &'static [&'static str],
}

/// A stage of a pipeline: its parameters and the names of the stages it reads from.
pub trait StageSpec: Any + fmt::Debug + Send + Sync {
    /// Returns its kind.
    fn kind(&self) -> &'static StageKind;

    /// Returns the names of the stages it reads from.
    fn reads(&self) -> Vec<&str>;

    /// Returns what the record of a pipeline says of it, a JSON object.
    fn fields(&self) -> Value;

    /// Complains about what types cannot say: parameters that do not fit the stages it reads from.
    fn check(&self, here: &Here<'_, '_>, problems: &mut Vec<Problem>) {
        let _ = (here, problems);
    }

    /// Adds its nodes, called `name` or `name/..`, and returns the one that other stages read from.
    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize;

    /// Returns the names of the files it brings in, if that is what it does.
    fn files(&self) -> Option<Vec<&str>> {
        None
    }

    /// Returns the data set it makes, if it makes one.
    fn data_set(&self) -> Option<&Decode> {
        None
    }

    /// Returns how its network is trained, or its networks, if it has any.
    fn training<'s>(&'s self, stages: &'s Stages) -> Option<&'s TrainSpec> {
        let _ = stages;
        None
    }

    /// Returns which weights of its network it keeps, if it has one network.
    fn kept(&self, stages: &Stages) -> Option<Vec<Keep>> {
        let _ = stages;
        None
    }
}

impl dyn StageSpec {
    /// Returns the stage as the record of a pipeline holds it: `{"Train": {..}}`.
    pub fn record(&self) -> Value {
        json!({ self.kind().name: self.fields() })
    }
}

impl StageKind {
    /// Returns the kind called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        KINDS.iter().copied().find(|kind| kind.name == name)
    }
}

impl fmt::Debug for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Returns the names of all kinds.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    KINDS.iter().map(|kind| kind.name)
}

/// Returns what `n` nodes of a stage are called: `1 training`, `10 trainings`.
pub fn counted(stage: StageName, n: usize) -> String {
    let [one, many] = nouns(stage).next().expect("a test counts the nouns of each stage");
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Returns whether a stage is one of the light ones of a search: all that it executes but the training of its trials.
pub fn is_of_search(stage: StageName) -> bool {
    search::KIND.nouns.iter().any(|(of, _)| *of == stage)
}

fn nouns(stage: StageName) -> impl Iterator<Item = [&'static str; 2]> {
    KINDS.iter().flat_map(|kind| kind.nouns).filter(move |(of, _)| *of == stage).map(|(_, noun)| *noun)
}

/// What the record of a pipeline says of a stage.
pub struct Fields(pub(super) Value);

impl Fields {
    /// Takes a field out. One that is not there is `null`.
    fn take<T: DeserializeOwned>(&mut self, field: &str) -> Result<T, serde_json::Error> {
        match self.0.as_object_mut().and_then(|fields| fields.remove(field)) {
            Some(value) => serde_json::from_value(value),
            None => serde_json::from_value(Value::Null)
                .map_err(|_| serde_json::Error::custom(format!("missing field `{field}`"))),
        }
    }

    /// Reads what is left.
    fn rest<T: DeserializeOwned>(self) -> Result<T, serde_json::Error> {
        serde_json::from_value(self.0)
    }
}

/// Returns parameters as they enter an action.
pub(super) fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("parameters are plain data")
}

/// Returns parameters with more fields.
fn with<'a>(params: &impl Serialize, fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let Value::Object(mut map) = plain(params) else { unreachable!("parameters of a stage that reads are fields") };
    map.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_one_noun() {
        for stage in StageName::ALL {
            assert_eq!(nouns(*stage).count(), 1, "{stage}");
        }
        assert_eq!([1, 10].map(|n| counted(StageName::Train, n)), ["1 training", "10 trainings"]);
        assert_eq!(counted(StageName::Promote, 2), "2 promotions");
    }

    #[test]
    fn kinds_are_found_by_their_names() {
        assert!(KINDS.iter().all(|kind| StageKind::find(kind.name).is_some_and(|found| std::ptr::eq(found, *kind))));
        let known: Vec<_> = names().collect();
        let read = KINDS.iter().flat_map(|kind| kind.reads).flat_map(|reads| reads.kinds);
        assert!(read.clone().count() > 8 && read.into_iter().all(|kind| known.contains(kind)));
        assert_eq!(
            KINDS.iter().filter(|kind| kind.may_name_test_split).map(|kind| kind.name).collect::<Vec<_>>(),
            ["Evaluate"]
        );
    }
}
