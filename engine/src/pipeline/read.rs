//! Reads a pipeline: text -> tree -> typed values, complaining about every mistake at its place.

use pipe_stages::{
    augment::Augment, decode::Decode, evaluate::Evaluate, fetch::FetchSpec, network::training::Objective, parameters, train::Train,
    visualize_filters::VisualizeFilters, words::one_of,
};
use serde_json::json;

use super::{
    check,
    form::Form,
    labels,
    node::{Kind, Node},
    located,
    path::name_of,
    problem::Problem,
    set::{self, Override},
    source::{Source, Span},
    spec::{Pipeline, RetrainParams, RetrainSpec, SearchParams, SearchSpec, StageSpec, TrainSpec, plain},
    syntax,
};
use crate::action::DeviceKind;

/// Everything that is wrong with a pipeline.
#[derive(Debug)]
pub struct Refused {
    pub problems: Vec<Problem>,
    pub sources: Vec<Source>,
}

impl Refused {
    /// Returns the complaints as text.
    pub fn render(&self) -> String {
        super::problem::render(&self.problems, &self.sources)
    }
}

/// Returns the pipeline in `text`, called `name` in complaints, with `overrides` applied.
///
/// # Errors
/// If anything is wrong with it: all that can be told together.
pub fn read(name: &str, text: &str, overrides: &[Override]) -> Result<Pipeline, Refused> {
    // A byte order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut sources = vec![Source { name: name.to_owned(), text: text.to_owned() }];
    let mut root = match syntax::parse(&sources, 0) {
        Ok(root) => root,
        Err(problems) => return Err(Refused { problems, sources }),
    };
    let mut problems = set::apply(&mut root, overrides, &mut sources);
    let mut reader = Reader { problems: &mut problems, test_split: Vec::new() };
    let pipeline = reader.pipeline(&root);
    let test_split = reader.test_split;
    problems.retain(|problem| problem.span.is_none_or(|span| !test_split.contains(&span)));
    problems.extend(test_split.chunks_exact(2).map(|spans| test_split_named(spans[1])));
    match pipeline {
        Some(pipeline) if problems.is_empty() => Ok(pipeline),
        _ => {
            problems.sort_by_key(|problem| problem.span.map(|span| (span.source, span.start)));
            Err(Refused { problems, sources })
        }
    }
}

struct Reader<'p> {
    problems: &'p mut Vec<Problem>,
    /// The places, key and value, where the test split is named by what may not read it.
    test_split: Vec<Span>,
}

parameters! {
    /// The fields of a study beside its stages.
    struct Head {
        /// What it is called.
        name: String,
        /// The number that all random draws come from.
        seed: u64 = 0,
        /// What it is computed on.
        device: DeviceKind = DeviceKind::Cpu,
    }
}

impl Reader<'_> {
    fn pipeline(&mut self, root: &Node) -> Option<Pipeline> {
        const STUDY: &str = "`Study(name: \"..\", seed: 1, stages: [..])`";
        if !matches!(root.kind, Kind::Fields { .. }) {
            self.problems.push(Problem::at(name_of(root), format!("found {}", root.describe())).expected(STUDY));
            return None;
        }
        if let Some(other) = root.name().filter(|name| *name != "Study") {
            let problem = Problem::at(name_of(root), format!("unknown name `{other}`")).expected("`Study`");
            self.problems.push(problem.did_you_mean(other, ["Study"]));
        }
        let mut form = Form::new(root);
        form.take("stages");
        let read = match root.field("stages") {
            Some(stages) => self.stages(&stages.value),
            None => {
                let problem = Problem::at(name_of(root), "missing field `stages`");
                self.problems.push(problem.expected("`stages: [(\"name\", Kind(..)), ..]`"));
                Vec::new()
            }
        };
        let head: Option<Head> = form.read(self.problems);
        if let (Some(head), Some(field)) = (&head, root.field("name")) {
            self.name(&head.name, field.value.span);
        }
        check::graph(&read, self.problems);
        let Head { name, seed, device } = head?;
        let stages = read.into_iter().filter_map(|(name, _, _, spec)| Some((name, spec?))).collect();
        Some(Pipeline { name, seed, device, stages })
    }

    fn name(&mut self, name: &str, at: Span) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 100 || !name.chars().all(is_plain) {
            let problem = Problem::at(at, format!("`{name}` is no name"));
            self.problems.push(problem.expected("1 to 100 letters (a to z, A to Z), digits, `-` and `_`"));
        }
    }

    fn stages<'n>(&mut self, node: &'n Node) -> Vec<check::Entry<'n>> {
        let mut entries: Vec<check::Entry<'n>> = Vec::new();
        for (name, name_span, stage) in self.named_stages(node) {
            self.name(&name, name_span);
            if entries.iter().any(|(known, ..)| *known == name) {
                self.problems
                    .push(Problem::at(name_span, format!("two stages are named `{name}`")).help("rename one of them"));
                continue;
            }
            let spec = self.stage(stage);
            entries.push((name, name_span, stage, spec));
        }
        entries
    }

    fn named_stages<'n>(&mut self, node: &'n Node) -> Vec<(String, Span, &'n Node)> {
        const EXPECTED: &str = "`(\"name\", Kind(..))`";
        match &node.kind {
            Kind::Fields { fields, .. } => {
                fields.iter().map(|field| (field.key.clone(), field.key_span, &field.value)).collect()
            }
            Kind::List(items) => {
                let mut named = Vec::new();
                for item in items {
                    match &item.kind {
                        Kind::Tuple { name: None, items } => match items.as_slice() {
                            [Node { span, kind: Kind::String(name) }, stage] => {
                                named.push((name.clone(), *span, stage))
                            }
                            _ => self
                                .problems
                                .push(Problem::at(name_of(item), "a stage without a name").expected(EXPECTED)),
                        },
                        _ => self
                            .problems
                            .push(Problem::at(name_of(item), format!("found {}", item.described())).expected(EXPECTED)),
                    }
                }
                named
            }
            _ => {
                let problem = Problem::at(name_of(node), format!("`stages`: found {}", node.describe()));
                self.problems.push(problem.expected(format!("a list of {EXPECTED}")));
                Vec::new()
            }
        }
    }

    fn stage(&mut self, node: &Node) -> Option<StageSpec> {
        let kind = node.name().unwrap_or_default();
        if !StageSpec::KINDS.contains(&kind) {
            let what = if kind.is_empty() { "found" } else { "unknown stage" };
            let found = if kind.is_empty() { node.describe().to_owned() } else { format!("`{kind}`") };
            let problem = Problem::at(name_of(node), format!("{what} {found}")).expected(one_of(StageSpec::KINDS));
            self.problems.push(problem.did_you_mean(kind, StageSpec::KINDS));
            return None;
        }
        if kind != "Evaluate" {
            self.refuse_test_split(node);
        }
        let mut form = Form::new(node);
        Some(match kind {
            "Fetch" => {
                let fetch: FetchSpec = form.read(self.problems)?;
                StageSpec::Fetch(fetch)
            }
            "Decode" => {
                let from = form.reference("from", self.problems);
                let decode: Decode = form.read(self.problems)?;
                StageSpec::Decode { from: from?, decode }
            }
            "Augment" => {
                let data = form.reference("data", self.problems);
                let augment: Augment = form.read(self.problems)?;
                StageSpec::Augment { data: data?, augment }
            }
            "Train" => {
                let train = self.train(form, None)?;
                labels::none(node, &train, self.problems);
                StageSpec::Train(train)
            }
            "Search" => StageSpec::Search(self.search(node, form)?),
            "Retrain" => {
                let of = form.reference("of", self.problems);
                let own: RetrainParams = form.read(self.problems)?;
                StageSpec::Retrain(RetrainSpec { of: of?, own })
            }
            "Evaluate" => {
                let of = form.reference("of", self.problems);
                let evaluate: Evaluate = form.read(self.problems)?;
                StageSpec::Evaluate { of: of?, evaluate }
            }
            "VisualizeFilters" => {
                let of = form.reference("of", self.problems);
                let visualize: VisualizeFilters = form.read(self.problems)?;
                StageSpec::VisualizeFilters { of: of?, visualize }
            }
            _ => unreachable!("the kinds were just compared"),
        })
    }

    /// Reads a training. `objective` is what it goes for, if that is not among its own fields.
    fn train(&mut self, mut form: Form<'_>, objective: Option<Objective>) -> Option<TrainSpec> {
        let data = form.reference("data", self.problems);
        let augment = form.optional_reference("augment", self.problems);
        if let Some(objective) = &objective {
            form.put("objective", plain(objective));
        }
        let train: Train = form.read(self.problems)?;
        Some(TrainSpec { data: data?, augment: augment?, train })
    }

    fn search(&mut self, node: &Node, mut form: Form<'_>) -> Option<SearchSpec> {
        let objective = self.search_objective(node, &mut form);
        form.take("trial");
        let imported = form.optional_reference("imported", self.problems);
        let trial = match node.field("trial").map(|field| &field.value) {
            None => {
                let problem = Problem::at(name_of(node), "missing field `trial`");
                self.problems.push(problem.expected("`trial: Train(data: \"..\", model: .., epochs: ..)`"));
                None
            }
            Some(trial) if trial.name() == Some("Train") => {
                self.refuse_test_split(trial);
                let own = trial.field("objective").filter(|_| objective.is_some());
                if let Some(own) = own {
                    let problem = Problem::at(own.key_span, "the search says already what its trials go for");
                    self.problems.push(problem.help("remove `objective`, or the search's `maximise` or `minimise`"));
                }
                self.train(Form::new(trial), objective)
            }
            Some(trial) => {
                let problem = Problem::at(name_of(trial), format!("`trial`: found {}", trial.described()));
                self.problems.push(problem.expected("`Train(..)`"));
                None
            }
        };
        let own: Option<SearchParams> = form.read(self.problems);
        let own = own?;
        labels::search(node, &own, trial.as_ref(), self.problems);
        Some(SearchSpec { own, trial: trial?, imported: imported? })
    }

    /// Takes what a search goes for, which is what its trials are scored by.
    fn search_objective(&mut self, node: &Node, form: &mut Form<'_>) -> Option<Objective> {
        let given = ["maximise", "minimise"].map(|mode| (mode, form.take(mode)));
        let mut given = given.into_iter().filter_map(|(mode, value)| Some((mode, value?)));
        let (mode, value) = given.next()?;
        if given.next().is_some() {
            let at = node.field("minimise").map_or(node.span, |field| field.key_span);
            self.problems.push(Problem::at(at, "both `maximise` and `minimise`").help("remove one of the two"));
        }
        let before = self.problems.len();
        let objective = located::read(node, &json!({ mode: value }), self.problems);
        // What is wrong with it is said once, and not by the trial as well.
        objective.filter(|_| self.problems.len() == before)
    }

    /// Trials are chosen on validation; the test split is read once, by `Evaluate`.
    fn refuse_test_split(&mut self, node: &Node) {
        const READS: [&str; 8] = ["data", "from", "of", "on", "split", "train", "validation", "augment"];
        for field in node.fields().iter().filter(|field| READS.contains(&field.key.as_str())) {
            let names_it = match &field.value.kind {
                Kind::Unit(name) => name.eq_ignore_ascii_case("test"),
                Kind::String(name) => name.ends_with("/test") || name.ends_with("test.safetensors"),
                _ => false,
            };
            if names_it {
                self.test_split.extend([field.key_span, field.value.span]);
            }
        }
    }
}

fn test_split_named(at: Span) -> Problem {
    Problem::at(at, "the test split is named by a stage other than `Evaluate`")
        .help("leave it out: trials are chosen on validation, and only `Evaluate` reads the test split")
}
