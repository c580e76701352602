//! The contract between a pipeline and the kinds of its stages.

use std::{any::Any, collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use pipe_stages::{
    StageName, augment::Augment, decode::Decode, fetch::Surroundings, network::training::Keep, problem::Step,
    stage::Stage, train::Train,
};
use serde::{
    Serialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Value, json};

use super::{
    mistake::Mistake, reading::Reading, source::Span, stages::command::spec::CommandSpec, term::Term, walk::locate,
};
use crate::{
    action::derive_seed,
    how::How,
    plan::{Edge, Node, SearchTrials},
};

/// A kind of stage.
pub struct StageKind {
    /// The name in a pipeline: `Train`.
    pub name: &'static str,
    /// The fields that name a stage to read from.
    pub reads: &'static [Reads],
    /// Whether a stage of this kind may name the test split. Only `Evaluate` may, because trials are chosen on validation.
    pub may_name_test_split: bool,
    /// The executed stages that belong only to this kind, each with the noun for one of its nodes and for several.
    pub nouns: &'static [(StageName, [&'static str; 2])],
    /// Reads a stage of this kind from the text of a pipeline. If it cannot be read, adds mistakes and returns `None`.
    pub read: fn(&mut Reading<'_, '_>) -> Option<Arc<dyn StageSpec>>,
    /// Reads a stage of this kind from the fields that [`StageSpec::fields`] recorded.
    pub from_record: fn(RecordFields) -> Result<Arc<dyn StageSpec>, serde_json::Error>,
}

/// A field that names a stage to read from.
pub struct Reads {
    /// The path of the field: `["of"]`, `["trial", "data"]`.
    pub path: &'static [&'static str],
    /// The kinds that the other stage may have.
    pub kinds: &'static [&'static str],
}

/// A stage of a pipeline: its parameters and the names of the stages it reads from.
pub trait StageSpec: Any + fmt::Debug + Send + Sync {
    /// Returns its kind.
    fn kind(&self) -> &'static StageKind;

    /// Returns the names of the stages it reads from.
    fn reads(&self) -> Vec<&str>;

    /// Returns its fields as the record of a pipeline holds them, a JSON object.
    fn fields(&self) -> Value;

    /// Complains about parameters that do not fit the stages it reads from.
    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        let _ = (here, mistakes);
    }

    /// Returns the stage with what its files and folders of this disk hold now, if it names some. If they cannot be used, adds
    /// mistakes and returns `None`.
    fn look_up(&self, around: &Surroundings<'_>, mistakes: &mut Vec<Mistake>) -> Option<Arc<dyn StageSpec>> {
        let _ = (around, mistakes);
        None
    }

    /// Adds its nodes, called `name` or `name/..`, and returns the index of the one that other stages read from.
    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize;

    /// Returns the names of the files it fetches, if it fetches files.
    fn files(&self) -> Option<Vec<&str>> {
        None
    }

    /// Returns the data set it makes, if it makes one.
    fn data_set(&self) -> Option<&Decode> {
        None
    }

    /// Returns how it augments images, if it does.
    fn augmentation(&self) -> Option<&Augment> {
        None
    }

    /// Returns how its network or networks are trained, if it has any.
    fn training<'s>(&'s self, stages: &'s Stages) -> Option<&'s TrainSpec> {
        let _ = stages;
        None
    }

    /// Returns the program that it runs once or for each trial, if it runs one.
    fn program<'s>(&'s self, stages: &'s Stages) -> Option<&'s CommandSpec> {
        let _ = stages;
        None
    }

    /// Returns what the program writes, if it runs exactly one. A folder ends with `/`.
    fn outputs_of_program(&self, stages: &Stages) -> Vec<String> {
        let _ = stages;
        Vec::new()
    }

    /// Returns which weights of its network it keeps, if it has exactly one network.
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

impl fmt::Debug for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The stages of a pipeline with their names, in the order of the file, which has no meaning.
#[derive(Debug, Clone, Default)]
pub struct Stages(Vec<(String, Arc<dyn StageSpec>)>);

impl Stages {
    /// Returns the stages with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &dyn StageSpec)> {
        self.0.iter().map(|(name, spec)| (name.as_str(), spec.as_ref()))
    }

    /// Replaces the stage called `name`, if there is one.
    pub fn replace(&mut self, name: &str, spec: impl StageSpec) {
        if let Some((_, known)) = self.0.iter_mut().find(|(known, _)| known == name) {
            *known = Arc::new(spec);
        }
    }

    /// Returns the stages in topological order, by name where the order is free.
    pub fn in_order(&self) -> Vec<(&str, &dyn StageSpec)> {
        let mut open: Vec<_> = self.iter().collect();
        open.sort_by_key(|(name, _)| *name);
        let mut ordered = Vec::new();
        while !open.is_empty() {
            let is_free = |(_, stage): &(&str, &dyn StageSpec)| {
                let reads = stage.reads();
                open.iter().all(|(other, _)| !reads.contains(other))
            };
            // A pipeline that was read from text has no cycles, but a record in a store could have one.
            let next = open.iter().position(is_free).unwrap_or(0);
            ordered.push(open.remove(next));
        }
        ordered
    }

    /// Replaces each stage that looks at this disk by what it finds.
    pub(super) fn look_up(&mut self, around: &Surroundings<'_>, mistakes: &mut Vec<Mistake>) {
        for (_, spec) in &mut self.0 {
            if let Some(found) = spec.look_up(around, mistakes) {
                *spec = found;
            }
        }
    }

    /// Returns the stage called `name`.
    pub fn get(&self, name: &str) -> Option<&dyn StageSpec> {
        self.iter().find(|(known, _)| *known == name).map(|(_, spec)| spec)
    }

    /// Returns the stage and the path below it that `text` names: `("split", "train.npz")` for `split/train.npz`, and
    /// `("fold/0", "model.npz")` for `fold/0/model.npz`. No stage's name begins with that of another and a slash.
    pub fn split<'t>(&self, text: &'t str) -> Option<(&'t str, &'t str)> {
        let mut splits = text.match_indices('/').map(|(at, _)| (&text[..at], &text[at + 1..]));
        splits.find(|(stage, _)| self.get(stage).is_some())
    }

    /// Returns the stage called `name` if it has this type.
    pub fn get_as<S: StageSpec>(&self, name: &str) -> Option<&S> {
        (self.get(name)? as &dyn Any).downcast_ref()
    }

    /// Returns the stages of one type, with their names.
    pub fn of_type<S: StageSpec>(&self) -> impl Iterator<Item = (&str, &S)> {
        self.iter().filter_map(|(name, spec)| Some((name, (spec as &dyn Any).downcast_ref()?)))
    }

    /// Returns how the network or networks of the stage called `name` are trained.
    pub fn training(&self, name: &str) -> Option<&TrainSpec> {
        self.get(name)?.training(self)
    }

    /// Returns the data set that the stage called `name` makes.
    pub fn data_set(&self, name: &str) -> Option<&Decode> {
        self.get(name)?.data_set()
    }

    /// Returns how the stage called `name` augments images.
    pub fn augmentation(&self, name: &str) -> Option<&Augment> {
        self.get(name)?.augmentation()
    }
}

impl FromIterator<(String, Arc<dyn StageSpec>)> for Stages {
    fn from_iter<I: IntoIterator<Item = (String, Arc<dyn StageSpec>)>>(stages: I) -> Self {
        Self(stages.into_iter().collect())
    }
}

/// The stage that is being checked, with the others.
pub struct Here<'c, 'n> {
    /// The place of its name.
    pub(super) name: Span,
    /// The stage as it is written.
    pub(super) term: &'n Term,
    /// All stages that could be read.
    pub(super) stages: &'c Stages,
}

impl Here<'_, '_> {
    /// Returns the place of a field's value, or of the stage if the field is not written.
    pub(super) fn field(&self, field: &str) -> Span {
        locate(self.term, &[Step::Name(field.to_owned())]).span
    }
}

/// A training: a stage of its own, or the trial of a search.
#[derive(Debug, Clone)]
pub struct TrainSpec {
    /// The name of the stage with the images to train on.
    pub data: String,
    /// The name of the stage that augments and normalises the images. Without one, a byte x becomes x/255 - 0.5 and images
    /// are not augmented.
    pub augment: Option<String>,
    /// Where the initial weights come from, if they are not drawn.
    pub init: Option<InitFrom>,
    /// The parameters of the training itself.
    pub train: Train,
}

/// The file with the initial weights of a training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitFrom {
    /// The name of the stage that the file comes from.
    pub from: String,
    /// The path of the file among the outputs of that stage. `None` if it has one that is meant.
    pub file: Option<String>,
}

/// The fields of a stage in the record of a pipeline.
pub struct RecordFields(pub(super) Value);

impl RecordFields {
    /// Removes a field and reads it. A missing field counts as `null`.
    pub(super) fn take<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<T, serde_json::Error> {
        match self.0.as_object_mut().and_then(|fields| fields.remove(field)) {
            Some(value) => serde_json::from_value(value),
            None => serde_json::from_value(Value::Null).map_err(|_| serde_json::Error::missing_field(field)),
        }
    }

    /// Adds a field.
    pub(super) fn put(&mut self, field: &str, value: Value) {
        if let Some(fields) = self.0.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
    }

    /// Reads the fields that are left.
    pub(super) fn rest<T: DeserializeOwned>(self) -> Result<T, serde_json::Error> {
        serde_json::from_value(self.0)
    }
}

/// Returns parameters as an action holds them.
pub(super) fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("parameters are plain data")
}

/// Returns parameters with further fields.
pub(super) fn with<'a>(params: &impl Serialize, fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let Value::Object(mut map) = plain(params) else {
        unreachable!("the parameters of a stage with inputs are fields")
    };
    map.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(map)
}

/// How files are downloaded. Nothing here affects a key.
#[derive(Debug, Clone, Default)]
pub struct Downloads {
    /// The mirrors to try before a stage's own addresses.
    pub mirrors: Vec<pipe_stages::fetch::Mirror>,
    /// The folder for unfinished downloads, which are resumed from there.
    pub partial: PathBuf,
}

/// An input of a node: its slot, the index of the node it comes from, and the path of that node's output file.
pub type Input<'s> = (&'s str, usize, &'s str);

/// A plan to which the stages add their nodes.
pub struct Expansion<'p> {
    pub(super) stages: &'p Stages,
    /// The study's seed.
    pub(super) seed: u64,
    pub(super) downloads: &'p Downloads,
    pub(super) nodes: Vec<Node>,
    /// What the user is told before the plan runs.
    pub(super) notes: Vec<String>,
    /// The searches.
    pub(super) searches: Vec<SearchTrials>,
    /// The stages that are in the plan, each with the index of the node that others read from.
    pub(super) made: BTreeMap<String, usize>,
}

impl<'p> Expansion<'p> {
    /// Returns the index of the node of the stage `name` that others read from. Adds the stage's nodes, and those they read
    /// from, unless the plan has them already.
    pub(super) fn node_of(&mut self, name: &str) -> usize {
        if let Some(node) = self.made.get(name) {
            return *node;
        }
        let spec = self.stages.get(name).expect("names are checked when a pipeline is read");
        let node = spec.expand(name, self);
        self.made.insert(name.to_owned(), node);
        node
    }

    /// Tells the user something before the plan runs, unless it is told already.
    pub(super) fn note_once(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Returns the data set that the stage called `name` makes.
    pub(super) fn data_set(&self, name: &str) -> &'p Decode {
        self.stages.data_set(name).expect("kinds are checked when a pipeline is read")
    }

    /// Adds a node and returns its index. Nodes with the same stage, parameters, inputs and `repeat` have the same key.
    pub(super) fn add<'s, S: Stage + Serialize + 'static>(
        &mut self,
        name: &str,
        part_of: &str,
        stage: S,
        inputs: impl IntoIterator<Item = Input<'s>>,
        repeat: u64,
    ) -> usize {
        let params = Arc::new(plain(&stage));
        self.push(name, part_of, Arc::new(stage), params, inputs, repeat)
    }

    /// Says how the program of a node is run.
    pub(super) fn run_as(&mut self, node: usize, how: &Arc<How>) {
        self.nodes[node].how = Some(how.clone());
    }

    /// Lets the node wait for another one, which decides whether it is executed.
    pub(super) fn wait(&mut self, node: usize, after: Option<usize>) {
        self.nodes[node].after = after;
    }

    /// Adds a node as [`add`](Self::add) does, given the parameters as they enter its action.
    pub(super) fn push<'s>(
        &mut self,
        name: &str,
        part_of: &str,
        stage: Arc<dyn Stage>,
        params: Arc<Value>,
        inputs: impl IntoIterator<Item = Input<'s>>,
        repeat: u64,
    ) -> usize {
        let inputs = inputs
            .into_iter()
            .map(|(slot, node, path)| (slot.to_owned(), Edge { node, path: path.to_owned() }))
            .collect();
        let seed = derive_seed(self.seed, stage.id().name, repeat);
        let (name, part_of) = (name.to_owned(), part_of.to_owned());
        self.nodes.push(Node { name, part_of, stage, params, seed, inputs, after: None, how: None });
        self.nodes.len() - 1
    }
}
