//! Checks that the parts of a command fit together, and that nothing reads what is held out.

use std::collections::{BTreeMap, BTreeSet};

use pipe_stages::{
    command::{Pattern, Place as Placeholder, Reports},
    problem::Step,
    records::{Record as _, Score, TrainingHistory, TrialRecord},
    words::one_of,
};
use pipe_store::check_path;

use super::{
    sources::{Place, Source},
    spec::CommandSpec,
};
use crate::pipeline::{
    mistake::Mistake,
    source::Span,
    stage::{Here, Stages},
    term::Term,
    walk::{locate, name_of},
};

fn at(term: &Term, steps: &[&str]) -> Span {
    locate(term.content(), &steps.iter().map(|step| Step::Name((*step).to_owned())).collect::<Vec<_>>()).span
}

fn item(term: &Term, list: &str, index: usize) -> Span {
    locate(term.content(), &[Step::Name(list.to_owned()), Step::Index(index)]).span
}

impl CommandSpec {
    /// Complains about a command that is a stage of its own.
    pub(super) fn check_as_stage(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        self.check_everywhere(here.term, here.stages, mistakes);
        for label in self.command.labels() {
            let span = self.place_of(here.term, &Placeholder::Hp(label.clone()));
            mistakes.push(Mistake::at(span, format!("the label `{label}` outside a search")).expected("a value"));
        }
        let all = [Placeholder::Flags, Placeholder::Assignments, Placeholder::Params];
        for all in all.iter().filter(|all| self.command.mentions(all)) {
            let span = self.place_of(here.term, all);
            let mistake = Mistake::at(span, "the proposed values outside a search");
            mistakes.push(mistake.help("only the trial of a `Search` has proposed values"));
        }
    }

    /// Complains about a command that is the trial of a search. `objective` is the place of the search's objective.
    pub(super) fn check_of_search(
        &self,
        trial: &Term,
        objective: Span,
        here: &Here<'_, '_>,
        mistakes: &mut Vec<Mistake>,
    ) {
        self.check_everywhere(trial, here.stages, mistakes);
        if self.is_final {
            let mistake = Mistake::at(at(trial, &["final"]), "a trial that may read what is held out");
            mistakes.push(mistake.help("remove `final`: a search may not see what its result is tested on"));
        }
        let Some(score) = &self.command.objective else {
            let mistake =
                Mistake::missing_field(name_of(here.term), "maximise", "`maximise: Best(\"name of a metric\")`");
            mistakes.push(mistake.help("or `minimise: ..`; the metric is one that the command reports"));
            return;
        };
        let metric = score.0.metric();
        match &self.command.reports {
            None if self.command.metrics.is_empty() => {
                let mistake = Mistake::at(objective, format!("nothing reports `{metric}`"));
                mistakes.push(mistake.help("give the trial `reports: Lines` or `metrics: [\"metrics.json\"]`"));
            }
            Some(Reports::Stdout(pattern)) if self.command.metrics.is_empty() => {
                let known = names(pattern);
                if !known.contains(&metric) {
                    let mistake = Mistake::at(objective, format!("the pattern has no group `{metric}`"));
                    let mistake = mistake.expected(one_of(known.iter().copied()));
                    mistakes.push(mistake.did_you_mean(metric, known.iter().copied()));
                }
            }
            _ => {}
        }
    }

    /// Complains about what is wrong wherever the command is.
    fn check_everywhere(&self, term: &Term, stages: &Stages, mistakes: &mut Vec<Mistake>) {
        if self.command.run.is_empty() {
            mistakes
                .push(Mistake::at(at(term, &["run"]), "`run` has no words").expected("a program and its arguments"));
        }
        self.check_placeholders(term, mistakes);
        self.check_outputs(term, mistakes);
        for name in self.command.env.keys() {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(is_name) {
                let mistake =
                    Mistake::at(at(term, &["env", name]), format!("`{name}` cannot be the name of a variable"));
                mistakes.push(mistake.expected("letters, digits and `_`"));
            }
        }
        self.check_places(&self.inputs, term, stages, mistakes);
    }

    /// Complains about the files of other stages, which are written in the field `inputs` of `term`.
    pub(in crate::pipeline) fn check_places(
        &self,
        inputs: &BTreeMap<String, Source>,
        term: &Term,
        stages: &Stages,
        mistakes: &mut Vec<Mistake>,
    ) {
        for (slot, source) in inputs {
            let span = at(term, &["inputs", slot]);
            for place in source.places() {
                self.check_place(place, span, stages, mistakes);
            }
        }
    }

    fn check_placeholders(&self, term: &Term, mistakes: &mut Vec<Mistake>) {
        let command = &self.command;
        for placeholder in command.places() {
            let Placeholder::In(slot) = &placeholder else { continue };
            if !self.inputs.contains_key(slot) {
                let mistake = Mistake::at(self.place_of(term, &placeholder), format!("there is no input `{slot}`"));
                mistakes.push(if self.inputs.is_empty() {
                    mistake.help(format!("declare it: `inputs: {{\"{slot}\": \"STAGE/FILE\"}}`"))
                } else {
                    let known = || self.inputs.keys().map(String::as_str);
                    mistake.expected(one_of(known())).did_you_mean(slot, known())
                });
            }
        }
        let mentions = |placeholder| command.mentions(&placeholder);
        if command.epochs.is_some() && !mentions(Placeholder::Epochs) {
            let mistake = Mistake::at(at(term, &["epochs"]), "no word of `run` or `env` is `{epochs}`");
            mistakes.push(mistake.help("pass the number to the program, as in `\"--epochs\", \"{epochs}\"`"));
        }
        for placeholder in [Placeholder::Epochs, Placeholder::Horizon] {
            if mentions(placeholder.clone()) && command.epochs.is_none() {
                let mistake = Mistake::at(self.place_of(term, &placeholder), "the number of epochs is not given");
                mistakes.push(mistake.help("add `epochs: 10` to the command"));
            }
        }
        match (&command.reports, mentions(Placeholder::Report)) {
            (Some(Reports::Lines), false) => {
                let mistake = Mistake::at(at(term, &["reports"]), "no word of `run` or `env` is `{report}`");
                mistakes.push(mistake.help("pass the path to the program, as in `\"--report\", \"{report}\"`"));
            }
            (Some(Reports::Lines), true) | (_, false) => {}
            (_, true) => {
                let span = self.place_of(term, &Placeholder::Report);
                let mistake = Mistake::at(span, "nothing reads the file `{report}`");
                mistakes.push(mistake.help("add `reports: Lines` to the command"));
            }
        }
    }

    fn check_outputs(&self, term: &Term, mistakes: &mut Vec<Mistake>) {
        let own = [TrainingHistory::FILE, TrialRecord::FILE, Score::FILE];
        let mut seen = BTreeSet::new();
        let lists = [("outputs", &self.command.outputs), ("metrics", &self.command.metrics)];
        for (list, paths) in lists {
            for (index, path) in paths.iter().enumerate() {
                let span = item(term, list, index);
                if let Err(error) = check_path(path.strip_suffix('/').unwrap_or(path)) {
                    let mistake = Mistake::at(span, error.to_string());
                    mistakes.push(mistake.expected("a path below `{out}`, such as `model.pt` or `plots/`"));
                } else if own.contains(&path.as_str()) {
                    let mistake = Mistake::at(span, format!("`{path}` is what `pipe` calls a file of its own"));
                    mistakes.push(mistake.help("call the output otherwise"));
                } else if !seen.insert(path) {
                    mistakes.push(Mistake::at(span, format!("`{path}` is named twice")).help("remove one of the two"));
                } else if list == "metrics" && path.ends_with('/') {
                    mistakes.push(Mistake::at(span, format!("`{path}` is a folder")).expected("a JSON file"));
                }
            }
        }
        for (index, path) in self.held_out.iter().enumerate() {
            if !seen.contains(path) {
                let known: Vec<_> = seen.iter().map(|path| path.as_str()).collect();
                let mistake = Mistake::at(item(term, "held_out", index), format!("`{path}` is not in `outputs`"));
                mistakes.push(mistake.did_you_mean(path, known));
            }
        }
    }

    /// Complains about a file of another stage that does not exist there, or that the command may not read.
    fn check_place(&self, place: &Place, span: Span, stages: &Stages, mistakes: &mut Vec<Mistake>) {
        let Place { stage, path } = place;
        let Some(spec) = stages.get(stage) else { return };
        if let Some(program) = spec.program(stages) {
            if program.is_final && !self.is_final {
                let mistake = Mistake::at(span, format!("`{stage}` is final"));
                mistakes.push(mistake.help(
                    "only a `final` command may read from one: what was seen of held-out data must not flow back",
                ));
            }
            if program.holds_out(path) && !self.is_final {
                let mistake = Mistake::at(span, format!("`{path}` of `{stage}` is held out"));
                mistakes.push(mistake.help("only a command with `final: true` may read it"));
            }
            let outputs = spec.outputs_of_program(stages);
            let is_known = |known: &str| {
                known == path
                    || (known.ends_with('/') && path.starts_with(known))
                    || (place.is_folder() && known.starts_with(path.as_str()))
            };
            if !outputs.is_empty() && !outputs.iter().any(|known| is_known(known)) {
                let known: Vec<_> = outputs.iter().map(String::as_str).collect();
                let mistake = Mistake::at(span, format!("`{stage}` has no output `{path}`"));
                mistakes.push(mistake.expected(one_of(known.iter().copied())).did_you_mean(path, known));
            }
        } else if let Some(data) = spec.data_set() {
            let file = |split: &str| format!("{split}.safetensors");
            let is_test = *path == file("test") || place.is_folder();
            if is_test && data.splits().contains(&"test") && !self.is_final {
                let mistake = Mistake::at(span, "the test split is named by a command that is not `final`");
                mistakes.push(mistake.help(
                    "leave it out, or write `final: true`: trials are chosen on validation, and the test split is read at the end",
                ));
            }
            let split = path.strip_suffix(".safetensors").filter(|split| !split.contains('/'));
            if let Some(split) = split.filter(|split| !data.splits().contains(split)) {
                let known: Vec<_> = data.splits().iter().map(|split| file(split)).collect();
                let mistake = Mistake::at(span, format!("`{stage}` has no split `{split}`"));
                mistakes.push(mistake.expected(one_of(known.iter().map(String::as_str))));
            }
        } else if let Some(files) = spec.files() {
            let is_folder = files == [pipe_stages::records::Listing::FILE];
            let is_known = files.contains(&path.as_str()) || place.is_folder();
            if !(is_known || is_folder && path.starts_with("files/")) {
                let mistake = Mistake::at(span, format!("`{stage}` has no file `{path}`"));
                let mistake = mistake.expected(one_of(files.iter().copied())).did_you_mean(path, files.iter().copied());
                mistakes.push(if is_folder && mistake.help.is_none() {
                    mistake.help(format!("a file of the folder is `{stage}/files/{path}`"))
                } else {
                    mistake
                });
            }
        }
    }
}

fn names(pattern: &Pattern) -> Vec<&str> {
    pattern.metrics().collect()
}
