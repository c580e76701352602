//! Reads a pipeline: text -> tree -> typed values. Every mistake is found in one go and shown at its place.

use std::sync::Arc;

use pipe_stages::{parameters, words::one_of};

use super::{
    check::{self, Entry},
    form::Form,
    node::{Kind, Node},
    path::name_of,
    problem::{Look, Problem},
    reading::Reading,
    set::{self, Override},
    source::{Source, Span},
    spec::Pipeline,
    stage::StageSpec,
    stages, syntax,
};
use crate::action::DeviceKind;

/// Everything that is wrong with a pipeline.
#[derive(Debug)]
pub struct Refused {
    /// What is wrong, in the order of the text.
    pub problems: Vec<Problem>,
    /// The texts that it was read from.
    pub sources: Vec<Source>,
}

impl Refused {
    /// Returns the problems as text.
    pub fn render(&self, look: Look) -> String {
        super::problem::render(&self.problems, &self.sources, look)
    }
}

/// Returns the pipeline in `text`, called `name` in complaints, with `overrides` applied.
///
/// # Errors
/// If anything is wrong with it: everything that can be found at once.
pub fn read(name: &str, text: &str, overrides: &[Override]) -> Result<Pipeline, Refused> {
    // A byte order mark is not part of the text.
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
        let stages = read.into_iter().filter_map(|entry| Some((entry.name, entry.spec?))).collect();
        Some(Pipeline { name, seed, device, stages })
    }

    fn name(&mut self, name: &str, at: Span) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 100 || !name.chars().all(is_plain) {
            let problem = Problem::at(at, format!("`{name}` is no name"));
            self.problems.push(problem.expected("1 to 100 letters (a to z, A to Z), digits, `-` and `_`"));
        }
    }

    fn stages<'n>(&mut self, node: &'n Node) -> Vec<Entry<'n>> {
        let mut entries: Vec<Entry<'n>> = Vec::new();
        for (name, name_span, stage) in self.named_stages(node) {
            self.name(&name, name_span);
            if entries.iter().any(|entry| entry.name == name) {
                self.problems
                    .push(Problem::at(name_span, format!("two stages are named `{name}`")).help("rename one of them"));
                continue;
            }
            entries.push(Entry { name, name_span, node: stage, spec: self.stage(stage) });
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

    fn stage(&mut self, node: &Node) -> Option<Arc<dyn StageSpec>> {
        let name = node.name().unwrap_or_default();
        let Some(kind) = stages::find(name) else {
            let what = if name.is_empty() { "found" } else { "unknown stage" };
            let found = if name.is_empty() { node.describe().to_owned() } else { format!("`{name}`") };
            let problem = Problem::at(name_of(node), format!("{what} {found}")).expected(one_of(stages::names()));
            self.problems.push(problem.did_you_mean(name, stages::names()));
            return None;
        };
        let mut reading = Reading::new(node, self.problems, &mut self.test_split);
        if !kind.may_name_test_split {
            reading.refuse_test_split();
        }
        (kind.read)(&mut reading)
    }
}

fn test_split_named(at: Span) -> Problem {
    Problem::at(at, "the test split is named by a stage other than `Evaluate`")
        .help("leave it out: trials are chosen on validation, and only `Evaluate` reads the test split")
}
