//! The initial weights of a training: `init: Weights(from: "stage")`.

use pipe_stages::{
    choices,
    network::training::{Init, InitWeights, Keep},
    parameters,
    params::Read as _,
    problem::{Path, Problem, Step},
    records::{Listing, Record as _},
    words::one_of,
};
use serde_json::Value;

use crate::pipeline::{
    located::located,
    mistake::Mistake,
    reading::Reading,
    stage::{InitFrom, Stages, plain},
    term::Term,
    walk::locate,
};

choices! {
    /// Where initial weights come from, as it is written.
    pub(crate) enum InitForm {
        /// A file of weights.
        Weights(InitParams),
    }
}

parameters! {
    /// A file of weights.
    pub(crate) struct InitParams {
        /// The stage with the weights: a `Train` or a `Retrain`, or a `Fetch` of a safetensors file.
        from: String,
        /// The file among the outputs of that stage, such as `"last/weights.safetensors"`. Defaults to the best weights of a
        /// training if it keeps them, otherwise to its last ones, and to the only file of a `Fetch`.
        file: Option<String>,
        /// Whether the file must have every array of the network with its shape, and no others. With `false`, arrays whose name and
        /// shape fit are taken, and the others are drawn as usual.
        strict: bool = true,
    }
}

impl InitForm {
    /// Returns the source, which is an edge of the plan, and what is a parameter of the training.
    pub(super) fn divide(self) -> (InitFrom, Init) {
        let Self::Weights(InitParams { from, file, strict }) = self;
        (InitFrom { from, file }, Init::Weights(InitWeights { strict }))
    }

    /// Returns both as one again.
    pub(super) fn of(from: &InitFrom, init: &Init) -> Self {
        let Init::Weights(InitWeights { strict }) = init;
        Self::Weights(InitParams { from: from.from.clone(), file: from.file.clone(), strict: *strict })
    }
}

/// Reads the field `init` of a training, and leaves what is a parameter of the training. If it is wrong, adds mistakes and returns
/// `None`.
pub(super) fn read(reading: &mut Reading<'_, '_>) -> Option<Option<InitFrom>> {
    let written = reading.form.get("init").filter(|value| !value.is_null()).cloned();
    let Some((written, field)) = written.zip(reading.term.field("init")) else { return Some(None) };
    reading.inner("init", &field.value).refuse_test_split();
    let mut found: Vec<Problem> = Vec::new();
    let form = InitForm::read(&written, &pipe_stages::params::Domain::Any, &Path::here(), &mut found);
    let is_sound = found.is_empty();
    reading.mistakes.extend(found.into_iter().map(|problem| located(&field.value, problem)));
    let divided = form.filter(|_| is_sound).map(InitForm::divide);
    reading.form.put("init", divided.as_ref().map_or(Value::Null, |(_, init)| plain(init)));
    divided.map(|(from, _)| Some(from))
}

impl InitFrom {
    /// Returns the path of the file among the outputs of its stage.
    ///
    /// # Errors
    /// If the stage has no such file, or several that may be meant: what is found and what is expected.
    pub(super) fn path(&self, stages: &Stages) -> Result<String, (String, String)> {
        let spec = stages.get(&self.from);
        let (from, file) = (&self.from, self.file.as_deref());
        if let Some(files) = spec.and_then(|spec| spec.files()) {
            return match (file, files.as_slice()) {
                (_, [Listing::FILE]) => {
                    Err((format!("`{from}` is a folder"), "a `Fetch` of one safetensors file".to_owned()))
                }
                (Some(file), files) if files.contains(&file) => Ok(file.to_owned()),
                (Some(file), files) => Err((format!("`{from}` has no file `{file}`"), one_of(files.iter().copied()))),
                (None, [only]) => Ok((*only).to_owned()),
                (None, files) => {
                    let files = one_of(files.iter().copied());
                    Err((format!("`{from}` has several files"), format!("`file: ..` with {files}")))
                }
            };
        }
        let keep = spec.and_then(|spec| spec.kept(stages)).unwrap_or_default();
        let known = |keep: &Keep| match keep {
            Keep::Best => Some("best/weights.safetensors"),
            Keep::Last => Some("last/weights.safetensors"),
            Keep::Every(_) => None,
        };
        let whole: Vec<_> = [Keep::Best, Keep::Last].iter().filter(|of| keep.contains(of)).filter_map(known).collect();
        match file {
            None => whole.first().map(|path| (*path).to_owned()).ok_or_else(|| {
                let found = format!("`{from}` keeps neither its best nor its last weights");
                (found, format!("`Best` or `Last` in the `keep` of `{from}`, or `file: ..`"))
            }),
            Some(file) if whole.contains(&file) || keep.iter().any(|keep| is_every(*keep, file)) => Ok(file.to_owned()),
            Some(file) => {
                let every = keep.iter().filter_map(|keep| match keep {
                    Keep::Every(n) => Some(format!("epoch-{n:04}/weights.safetensors")),
                    Keep::Best | Keep::Last => None,
                });
                let files: Vec<_> = whole.iter().map(|path| (*path).to_owned()).chain(every).collect();
                Err((format!("`{from}` keeps no `{file}`"), one_of(files.iter().map(String::as_str))))
            }
        }
    }

    /// Complains if the stage has no such file. `train` is the training as it is written.
    pub(super) fn check(&self, train: &Term, stages: &Stages, mistakes: &mut Vec<Mistake>) {
        // A stage that is missing or of another kind is reported as a reference.
        let is_source = |spec: &dyn crate::pipeline::stage::StageSpec| {
            spec.files().is_some() || spec.kept(stages).is_some() || spec.program(stages).is_some()
        };
        if !stages.get(&self.from).is_some_and(is_source) {
            return;
        }
        if let Err((found, expected)) = self.path(stages) {
            let field = if self.file.is_some() { "file" } else { "from" };
            let steps = ["init", field].map(|name| Step::Name(name.to_owned()));
            mistakes.push(Mistake::at(locate(train, &steps).span, found).expected(expected));
        }
    }
}

/// Returns whether `file` holds weights that `keep` keeps.
fn is_every(keep: Keep, file: &str) -> bool {
    let Keep::Every(n) = keep else { return false };
    let epoch = file.strip_prefix("epoch-").and_then(|rest| rest.strip_suffix("/weights.safetensors"));
    epoch.and_then(|epoch| epoch.parse().ok()).is_some_and(|epoch: u32| {
        epoch > 0 && epoch.is_multiple_of(n) && file == format!("epoch-{epoch:04}/weights.safetensors")
    })
}
