//! Reads a pipeline: text -> tree -> typed values. All mistakes are found in one go, each with its place.

use std::{collections::BTreeSet, sync::Arc};

use pipe_stages::{parameters, words::one_of};

use super::{
    check::{self, Entry},
    common,
    each::{self, Copies, STAGES},
    form::Form,
    mistake::{Mistake, Refused},
    reading::Reading,
    set::{self, Override},
    source::{Source, Span},
    spec::Pipeline,
    stage::StageSpec,
    stages, syntax,
    term::{Term, TermKind},
    walk::name_of,
};
use pipe_stages::{DeviceKind, Precision};

/// The most bytes of a pipeline file. Those that people write have a few thousand, with written out networks some tens of
/// thousands. The time and the memory that reading takes are bounded by it.
pub const TEXT: usize = 256 << 10;

/// Returns the bytes of a pipeline file as text. `name` is the file's name, for messages.
///
/// # Errors
/// If they are not UTF-8. The mistake has the place of the first byte that is not.
pub fn text(name: &str, bytes: Vec<u8>) -> Result<String, Refused> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let start = error.utf8_error().valid_up_to();
    let is_utf_16 = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    // What is not UTF-8 is shown as replacement characters. Everything before keeps its place.
    let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
    let span = Span { source: 0, start, end: start + char::REPLACEMENT_CHARACTER.len_utf8() };
    let found = Mistake::at(span, format!("the byte {:#04x} is not UTF-8", error.as_bytes()[start]));
    let help = if is_utf_16 { "the file is UTF-16: save it as UTF-8" } else { "save the file as UTF-8" };
    let sources = vec![Source { name: name.to_owned(), text }];
    Err(Refused { mistakes: vec![found.expected("UTF-8 text").help(help)], sources })
}

/// Returns the pipeline in `text` with `overrides` applied. `name` is the file's name, for messages.
///
/// # Errors
/// If there are mistakes: all of them that can be found at once.
pub fn read(name: &str, text: &str, overrides: &[Override]) -> Result<Pipeline, Refused> {
    // A byte order mark is not part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut sources = vec![Source { name: name.to_owned(), text: text.to_owned() }];
    if text.len() > TEXT {
        let message = format!("the file has {} bytes", text.len());
        let mistake =
            Mistake::at(Span { source: 0, start: 0, end: 0 }, message).expected(format!("at most {TEXT} bytes"));
        return Err(Refused { mistakes: vec![mistake], sources });
    }
    let mut root = match syntax::parse(&sources, 0) {
        Ok(root) => root,
        Err(mistakes) => return Err(Refused { mistakes, sources }),
    };
    let mut mistakes = set::apply(&mut root, overrides, &mut sources);
    let before = mistakes.len();
    let copies = each::expand(&mut root, &mut mistakes);
    if mistakes.len() > before {
        // Without these stages, others would be complained about that read from them.
        each::once(&mut mistakes, &copies);
        return Err(Refused { mistakes, sources });
    }
    common::apply(&mut root, &mut mistakes);
    let mut reader = Reader { mistakes: &mut mistakes, test_split: Vec::new(), copies: &copies };
    let pipeline = reader.pipeline(&root);
    let test_split = reader.test_split;
    mistakes.retain(|mistake| mistake.span.is_none_or(|span| !test_split.contains(&span)));
    mistakes.extend(test_split.chunks_exact(2).map(|spans| test_split_named(spans[1])));
    match pipeline {
        Some(pipeline) if mistakes.is_empty() => Ok(Pipeline { texts: sources, ..pipeline }),
        _ => {
            mistakes.sort_by_key(|mistake| mistake.span.map(|span| (span.source, span.start)));
            each::once(&mut mistakes, &copies);
            Err(Refused { mistakes, sources })
        }
    }
}

struct Reader<'p> {
    mistakes: &'p mut Vec<Mistake>,
    /// The places where a stage names the test split and must not: for each, the place of the key, then that of the value.
    test_split: Vec<Span>,
    /// The stages that were written as one.
    copies: &'p [Copies],
}

parameters! {
    /// The fields of a study, without its stages.
    struct Head {
        /// The study's name.
        name: String,
        /// The number that all random draws come from.
        seed: u64 = 0,
        /// The kind of device that it computes on.
        device: DeviceKind = DeviceKind::Cpu,
        /// The precision of the products of convolutions and dense layers.
        precision: Precision = Precision::F32,
    }
}

impl Reader<'_> {
    fn pipeline(&mut self, root: &Term) -> Option<Pipeline> {
        const STUDY: &str = "`Study(name: \"..\", seed: 1, stages: [..])`";
        if !matches!(root.kind, TermKind::Fields { .. }) {
            self.mistakes.push(Mistake::at(name_of(root), format!("found {}", root.describe())).expected(STUDY));
            return None;
        }
        if let Some(other) = root.name().filter(|name| *name != "Study") {
            let mistake = Mistake::at(name_of(root), format!("unknown name `{other}`")).expected("`Study`");
            self.mistakes.push(mistake.did_you_mean(other, ["Study"]));
        }
        let mut form = Form::new(root);
        form.take("stages");
        form.take(common::FIELD);
        let read = match root.field("stages") {
            Some(stages) => self.stages(&stages.value),
            None => {
                let expected = "`stages: [(\"name\", Kind(..)), ..]`";
                self.mistakes.push(Mistake::missing_field(name_of(root), "stages", expected));
                Vec::new()
            }
        };
        let head: Option<Head> = form.read(self.mistakes);
        if let (Some(head), Some(field)) = (&head, root.field("name")) {
            self.name(&head.name, field.value.span);
        }
        check::graph(&read, self.mistakes);
        let Head { name, seed, device, precision } = head?;
        let stages = read.into_iter().filter_map(|entry| Some((entry.name, entry.spec?))).collect();
        Some(Pipeline { name, seed, device, precision, stages, texts: Vec::new() })
    }

    fn name(&mut self, name: &str, at: Span) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 100 || !name.chars().all(is_plain) {
            let mistake = Mistake::at(at, format!("`{name}` is not a valid name"));
            let mistake = mistake.expected("1 to 100 letters (a to z, A to Z), digits, `-` and `_`");
            let help = "only the stages of a `ForEach` have a `/` or a variable: `(\"fold/{k}\", ForEach(k: [0, 1], Kind(..)))`";
            self.mistakes.push(if name.contains(['/', '{']) { mistake.help(help) } else { mistake });
        }
    }

    fn stage_name(&mut self, name: &str, at: Span) {
        if !self.copies.iter().any(|copies| copies.name == at) {
            self.name(name, at);
        } else if name.len() > 100 || !name.split('/').all(each::is_part) {
            let mistake = Mistake::at(at, format!("`{name}` is not a valid name"));
            let allowed =
                "1 to 100 letters (a to z, A to Z), digits, `-`, `_`, `.` and `/`, and something on each side of a `/`";
            self.mistakes.push(mistake.expected(allowed));
        }
    }

    /// Complains about a stage whose name is that of another and more, as those of the other's nodes are.
    fn nested(&mut self, entries: &[Entry<'_>]) {
        let names: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        for Entry { name, name_span, .. } in entries {
            let outer = name.match_indices('/').map(|(at, _)| &name[..at]).find(|outer| names.contains(outer));
            if let Some(outer) = outer {
                let mistake =
                    Mistake::at(*name_span, format!("the name `{name}` begins with that of the stage `{outer}`"));
                self.mistakes
                    .push(mistake.help(format!("`{outer}/..` are the nodes of `{outer}`: rename one of the two")));
            }
        }
    }

    fn stages<'n>(&mut self, term: &'n Term) -> Vec<Entry<'n>> {
        let mut entries: Vec<Entry<'n>> = Vec::new();
        let named = self.named_stages(term);
        if named.len() > STAGES {
            let mistake = Mistake::at(name_of(term), format!("found {} stages", named.len()));
            self.mistakes.push(mistake.expected(format!("at most {STAGES}")));
            return entries;
        }
        let names: Vec<String> = named.iter().map(|(name, ..)| name.clone()).collect();
        for (name, name_span, stage) in named {
            self.stage_name(&name, name_span);
            if entries.iter().any(|entry| entry.name == name) {
                self.mistakes
                    .push(Mistake::at(name_span, format!("two stages are named `{name}`")).help("rename one of them"));
                continue;
            }
            let spec = self.stage(&name, stage, &names);
            entries.push(Entry { name, name_span, term: stage, spec });
        }
        self.nested(&entries);
        entries
    }

    fn named_stages<'n>(&mut self, term: &'n Term) -> Vec<(String, Span, &'n Term)> {
        const EXPECTED: &str = "`(\"name\", Kind(..))`";
        match &term.kind {
            TermKind::Fields { fields, .. } => {
                fields.iter().map(|field| (field.key.clone(), field.key_span, &field.value)).collect()
            }
            TermKind::List(items) => {
                let mut named = Vec::new();
                for item in items {
                    match &item.kind {
                        TermKind::Tuple { name: None, items } => match items.as_slice() {
                            [Term { span, kind: TermKind::String(name) }, stage] => {
                                named.push((name.clone(), *span, stage))
                            }
                            _ => self
                                .mistakes
                                .push(Mistake::at(name_of(item), "a stage without a name").expected(EXPECTED)),
                        },
                        _ => self
                            .mistakes
                            .push(Mistake::at(name_of(item), format!("found {}", item.described())).expected(EXPECTED)),
                    }
                }
                named
            }
            _ => {
                let mistake = Mistake::at(name_of(term), format!("`stages`: found {}", term.describe()));
                self.mistakes.push(mistake.expected(format!("a list of {EXPECTED}")));
                Vec::new()
            }
        }
    }

    fn stage(&mut self, own_name: &str, term: &Term, names: &[String]) -> Option<Arc<dyn StageSpec>> {
        let name = term.name().unwrap_or_default();
        let Some(kind) = stages::find(name) else {
            let what = if name.is_empty() { "found" } else { "unknown stage" };
            let found = if name.is_empty() { term.describe().to_owned() } else { format!("`{name}`") };
            let mistake = Mistake::at(name_of(term), format!("{what} {found}")).expected(one_of(stages::names()));
            self.mistakes.push(mistake.did_you_mean(name, stages::names()));
            return None;
        };
        let mut reading = Reading::new(own_name.to_owned(), term, names, self.mistakes, &mut self.test_split);
        if !kind.may_name_test_split {
            reading.refuse_test_split();
        }
        (kind.read)(&mut reading)
    }
}

fn test_split_named(at: Span) -> Mistake {
    Mistake::at(at, "the test split is named by a stage other than `Evaluate`")
        .help("leave it out: trials are chosen on validation, and only `Evaluate` reads the test split")
}
