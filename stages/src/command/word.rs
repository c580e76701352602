//! The words of a command line: text with placeholders, a label of a search, or a number.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

use super::value::{self, Style};
use crate::{
    params::{Domain, Read, label},
    problem::{Path, Problem},
    program::{IN, OUT, STATE, TMP},
    words::one_of,
};

/// The file that a program adds its reports to, in its working folder.
pub(super) const REPORT: &str = "report.jsonl";
/// The file with the proposed values, in the working folder.
pub(super) const PARAMS: &str = "params.json";

/// A word of a command line, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// Text with placeholders.
    Text(Template),
    /// `hp("label")`: the value that the search proposes.
    Label(String),
    /// A number.
    Number(Number),
}

/// Text with placeholders: `--out={out}`. `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// A placeholder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `{in.SLOT}`: the path of an input.
    In(String),
    /// `{out}`: the folder for outputs.
    Out,
    /// `{state}`: the folder that outlives kills.
    State,
    /// `{report}`: the file that reports are added to.
    Report,
    /// `{epochs}`: the number of epochs to train.
    Epochs,
    /// `{horizon}`: the most epochs that the study can ask for.
    Horizon,
    /// `{seed}`: a number from 0 to 4294967295.
    Seed,
    /// `{threads}`: the number of threads to use.
    Threads,
    /// `{params}`: the path of a JSON file with the proposed values.
    Params,
    /// `{hp.LABEL}`: the value that the search proposes.
    Hp(String),
    /// `{tmp}`: a folder for temporary files.
    Tmp,
    /// `{flags}`: `--lr=0.01` for each label that no other word names.
    Flags,
    /// `{assignments}`: `lr=0.01` for each label that no other word names.
    Assignments,
}

/// The placeholders without a name inside, in the order in which messages list them.
const PLAIN: [(&str, Place); 11] = [
    ("out", Place::Out),
    ("state", Place::State),
    ("report", Place::Report),
    ("epochs", Place::Epochs),
    ("horizon", Place::Horizon),
    ("seed", Place::Seed),
    ("threads", Place::Threads),
    ("params", Place::Params),
    ("tmp", Place::Tmp),
    ("flags", Place::Flags),
    ("assignments", Place::Assignments),
];

impl Place {
    fn find(name: &str) -> Option<Self> {
        if let Some(slot) = name.strip_prefix("in.").filter(|slot| !slot.is_empty()) {
            return Some(Self::In(slot.to_owned()));
        }
        if let Some(label) = name.strip_prefix("hp.").filter(|label| !label.is_empty()) {
            return Some(Self::Hp(label.to_owned()));
        }
        PLAIN.iter().find(|(known, _)| *known == name).map(|(_, place)| place.clone())
    }

    /// Returns whether it stands for several words, so that it must be a word of its own.
    fn is_whole(&self) -> bool {
        matches!(self, Self::Flags | Self::Assignments)
    }

    /// Returns whether it gives every label that no other word names.
    pub fn takes_all_labels(&self) -> bool {
        matches!(self, Self::Flags | Self::Assignments | Self::Params)
    }
}

impl Template {
    /// Returns the template in `text`.
    ///
    /// # Errors
    /// If a brace is not closed, or a placeholder is unknown or is not a word of its own: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let problem = |found: String| Problem::new(Path::here(), found);
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let end = if brace == "{" { after.find('}') } else { None };
            let Some(end) = end else {
                return Err(problem(format!("`{text}` has a single `{brace}`"))
                    .expected("`{placeholder}`")
                    .help(format!("write `{brace}{brace}` for the character itself")));
            };
            let name = &after[..end];
            let place = Place::find(name).ok_or_else(|| unknown(name))?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Place(place));
            rest = &after[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        let whole = parts.iter().find_map(|part| match part {
            Part::Place(place) if place.is_whole() && parts.len() > 1 => Some(place),
            _ => None,
        });
        if let Some(place) = whole {
            let name = if *place == Place::Flags { "flags" } else { "assignments" };
            return Err(problem(format!("`{{{name}}}` stands for several words"))
                .help(format!("make it a word of its own: `\"{{{name}}}\"`")));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(place) => Some(place),
            Part::Text(_) => None,
        })
    }
}

fn unknown(name: &str) -> Problem {
    let known = || PLAIN.iter().map(|(name, _)| *name).chain(["in.SLOT", "hp.LABEL"]);
    let known_in_braces: Vec<_> = known().map(|name| format!("{{{name}}}")).collect();
    let problem = Problem::new(Path::here(), format!("unknown placeholder `{{{name}}}`"));
    let problem = problem.expected(one_of(known_in_braces.iter().map(String::as_str)));
    let problem = problem.did_you_mean(name, PLAIN.iter().map(|(name, _)| *name));
    if problem.help.is_some() { problem } else { problem.help("write `{{` and `}}` for the characters themselves") }
}

impl Word {
    /// Returns the placeholders in it. `hp("label")` is one.
    pub fn places(&self) -> Vec<Place> {
        match self {
            Self::Text(template) => template.places().cloned().collect(),
            Self::Label(label) => vec![Place::Hp(label.clone())],
            Self::Number(_) => Vec::new(),
        }
    }

    /// Returns the text if it has no placeholder.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::Text(Template { parts, .. }) => match parts.as_slice() {
                [Part::Text(text)] => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the words that it stands for.
    ///
    /// # Errors
    /// If the proposal lacks a label.
    pub(super) fn fill(&self, filling: &Filling<'_>) -> Result<Vec<String>, String> {
        match self {
            Self::Number(number) => Ok(vec![value::text(&Value::Number(number.clone()), Style::Plain)]),
            Self::Label(label) => Ok(vec![filling.label(label)?]),
            Self::Text(Template { parts, .. }) => {
                if let [Part::Place(place)] = parts.as_slice()
                    && place.is_whole()
                {
                    return Ok(filling
                        .labels_left()
                        .flat_map(|(name, value)| match place {
                            Place::Flags => value::flag(name, value),
                            _ => value::assignment(name, value),
                        })
                        .collect());
                }
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(plain) => text.push_str(plain),
                        Part::Place(place) => text.push_str(&filling.place(place)?),
                    }
                }
                Ok(vec![text])
            }
        }
    }
}

/// What the placeholders stand for in one execution. Every path is relative to the working folder.
pub(super) struct Filling<'a> {
    /// The proposed value of each label.
    pub(super) labels: &'a Map<String, Value>,
    /// The labels that words name.
    pub(super) named: &'a BTreeSet<String>,
    /// The file name of each input, or `None` if it is a folder.
    pub(super) slots: &'a BTreeMap<String, Option<String>>,
    pub(super) epochs: Option<u32>,
    pub(super) horizon: Option<u32>,
    pub(super) seed: u32,
    pub(super) threads: usize,
}

impl Filling<'_> {
    fn label(&self, label: &str) -> Result<String, String> {
        let value = self.labels.get(label).ok_or_else(|| format!("the proposal has no label `{label}`"))?;
        Ok(value::text(value, Style::Plain))
    }

    /// Returns the labels that no word names, sorted.
    fn labels_left(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.labels.iter().filter(|(label, _)| !self.named.contains(*label))
    }

    fn place(&self, place: &Place) -> Result<String, String> {
        let number = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
        Ok(match place {
            Place::In(slot) => match self.slots.get(slot) {
                Some(Some(name)) => format!("{IN}/{slot}/{name}"),
                Some(None) => format!("{IN}/{slot}"),
                None => return Err(format!("there is no input `{slot}`")),
            },
            Place::Out => OUT.to_owned(),
            Place::State => STATE.to_owned(),
            Place::Tmp => TMP.to_owned(),
            Place::Report => REPORT.to_owned(),
            Place::Params => PARAMS.to_owned(),
            Place::Epochs => number(self.epochs),
            Place::Horizon => number(self.horizon),
            Place::Seed => self.seed.to_string(),
            Place::Threads => self.threads.to_string(),
            Place::Hp(label) => self.label(label)?,
            Place::Flags | Place::Assignments => unreachable!("they are words of their own"),
        })
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(template) => serializer.serialize_str(&template.text),
            Self::Label(label) => serializer.collect_map([("hp", label)]),
            Self::Number(number) => number.serialize(serializer),
        }
    }
}

impl Read for Word {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        if let Some(label) = label(value) {
            return Some(Self::Label(label.to_owned()));
        }
        match value {
            Value::String(text) => match Template::parse(text) {
                Ok(template) => Some(Self::Text(template)),
                Err(problem) => {
                    problems.push(problem.inside(at));
                    None
                }
            },
            Value::Number(number) => Some(Self::Number(number.clone())),
            _ => {
                problems.push(Problem::found(at, value).expected(Self::expected(domain)));
                None
            }
        }
    }

    fn expected(_: &Domain) -> String {
        "text with `{placeholders}`, a number, or `hp(\"label\")`".to_owned()
    }

    fn brief(_: &Domain) -> String {
        "text, a number".to_owned()
    }

    fn takes_a_label() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(word: Value) -> Result<Vec<String>, String> {
        let mut problems = Vec::new();
        let word = Word::read(&word, &Domain::Any, &Path::here(), &mut problems);
        let labels =
            json!({ "lr": 0.00001, "hidden": 32.0, "deep": true, "pool": null, "name": "a \"b\"", "shift": -1.5 });
        let slots = [("train".to_owned(), Some("train.npz".to_owned())), ("plots".to_owned(), None)].into();
        let filling = Filling {
            labels: labels.as_object().unwrap(),
            named: &["lr".to_owned()].into(),
            slots: &slots,
            epochs: Some(20),
            horizon: None,
            seed: 7,
            threads: 2,
        };
        word.ok_or_else(|| problems[0].to_string())?.fill(&filling)
    }

    fn check(word: &str, expected: &[&str]) {
        assert_eq!(fill(json!(word)).unwrap(), expected, "{word}");
    }

    #[test]
    fn placeholders_are_filled_and_everything_else_arrives_as_it_is() {
        check("a b 'c' \"d\" $HOME *", &["a b 'c' \"d\" $HOME *"]);
        check("", &[""]);
        check("--out={out}/x", &["--out=out/x"]);
        check("{in.train}:{in.plots}", &["in/train/train.npz:in/plots"]);
        check("{epochs} {seed} {threads}", &["20 7 2"]);
        check("{state} {tmp} {report} {params}", &["state tmp report.jsonl params.json"]);
        check("{{{epochs}}} {{x}}", &["{20} {x}"]);
        check("{hp.hidden}", &["32"]);
        assert_eq!(fill(json!({ "hp": "lr" })).unwrap(), ["0.00001"]);
        assert_eq!(fill(json!(0.5)).unwrap(), ["0.5"]);
        assert_eq!(fill(json!(64.0)).unwrap(), ["64"]);
    }

    #[test]
    fn flags_are_for_argparse_and_assignments_for_hydra() {
        check("{flags}", &["--deep", "--hidden", "32", "--name", "a \"b\"", "--shift=-1.5"]);
        check("{assignments}", &["deep=true", "hidden=32", "name='a \"b\"'", "pool=null", "shift=-1.5"]);
    }

    #[test]
    fn what_is_wrong_with_a_word_is_said() {
        let refused = |word: &str, expected: &str| assert_eq!(fill(json!(word)).unwrap_err(), expected);
        refused(
            "{outt}",
            "unknown placeholder `{outt}`, expected `{out}`, `{state}`, `{report}`, `{epochs}`, `{horizon}`, `{seed}`, `{threads}`, `{params}`, `{tmp}`, `{flags}`, `{assignments}`, `{in.SLOT}` or `{hp.LABEL}` (did you mean `out`?)",
        );
        refused("a}", "`a}` has a single `}`, expected `{placeholder}` (write `}}` for the character itself)");
        refused("x {flags}", "`{flags}` stands for several words (make it a word of its own: `\"{flags}\"`)");
        refused("{in.other}", "there is no input `other`");
        refused("{hp.other}", "the proposal has no label `other`");
    }
}
