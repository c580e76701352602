//! What serde says of a value, as complaints that stand where the value is written and say what is allowed there.

use pipe_stages::words::one_of;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    node::{Kind, Node},
    path::{Step, locate},
    problem::Problem,
    source::Span,
};

/// More complaints about one stage than these help nobody.
const MOST: usize = 20;

/// Reads `json`, which `node` is the text of, and complains about all that can be told together: what is complained about
/// is left out and the rest is read again. `more` are fields that were taken out of it before.
pub(super) fn read<T: DeserializeOwned>(
    node: &Node,
    mut json: Value,
    more: &[&str],
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let mut left_out: Vec<Vec<Step>> = Vec::new();
    while left_out.len() < MOST {
        let error = match serde_path_to_error::deserialize(json.clone()) {
            Ok(value) => return left_out.is_empty().then_some(value),
            Err(error) => error,
        };
        let complaint = Complaint::<T> {
            steps: steps_of(error.path()),
            message: error.inner().to_string(),
            node,
            json: &json,
            type_: std::marker::PhantomData,
        };
        let missing = complaint.message.strip_prefix("missing field ").map(|rest| complaint.inside(&quoted(rest)[0]));
        // A field that was left out here was complained about already.
        if missing.is_none_or(|field| !left_out.contains(&field)) {
            problems.push(complaint.explain(more));
        }
        let wrong = complaint.wrong();
        left_out.push(remove(&mut json, wrong)?);
    }
    None
}

/// One error of serde.
struct Complaint<'a, T> {
    /// Where, in the JSON.
    steps: Vec<Step>,
    message: String,
    node: &'a Node,
    json: &'a Value,
    type_: std::marker::PhantomData<T>,
}

impl<T: DeserializeOwned> Complaint<'_, T> {
    fn explain(&self, more: &[&str]) -> Problem {
        let at = locate(self.node, &self.steps);
        let message = self.message.as_str();
        if message.starts_with("unknown field") {
            return self.unknown_field(more);
        }
        if message.starts_with("unknown variant") {
            let (found, names) = unknown(message);
            let names = names.iter().map(String::as_str);
            let problem = Problem::at(name_of(at), format!("unknown name `{found}`")).expected(one_of(names.clone()));
            return problem.did_you_mean(&found, names);
        }
        if let Some(rest) = message.strip_prefix("missing field ") {
            let field = &quoted(rest)[0];
            let problem = Problem::at(name_of(at), format!("missing field `{field}`"));
            return problem.expected(match self.allowed(&self.inside(field)) {
                Some(allowed) => format!("`{field}: ..` with {allowed}"),
                None => format!("`{field}: ..`"),
            });
        }
        let names = || {
            self.steps.iter().rev().filter_map(|step| match step {
                Step::Name(name) => Some(name.as_str()),
                Step::Index(_) => None,
            })
        };
        // A bare name is not its own content.
        let field = names().find(|name| !matches!(&at.kind, Kind::Unit(unit) if unit == name));
        let field = field.map(|name| format!("`{name}`: ")).unwrap_or_default();
        let problem = |found: String| Problem::at(at.span, format!("{field}found {found}"));
        if let Some(length) = message.strip_prefix("invalid length ") {
            let length = length.split(',').next().unwrap_or_default();
            let problem = problem(format!("a list of {length}"));
            return problem.expected(self.allowed(&self.steps).unwrap_or_else(|| "another length".to_owned()));
        }
        match split_expected(message) {
            Some((_, expected)) => {
                let found = match &at.kind {
                    Kind::Number(number) => format!("`{number}`"),
                    Kind::String(text) if message.starts_with("invalid value") => format!("`{text}`"),
                    Kind::Unit(name) => format!("`{name}`"),
                    _ => at.describe().to_owned(),
                };
                let is_too_large = matches!(&at.kind, Kind::Number(number) if number.as_u64().is_some());
                let mut expected = match self.names(&self.steps) {
                    Some(names) if !expected.contains("variant") => names,
                    _ => wording(expected, is_too_large, names().next()),
                };
                if self.takes_a_label() {
                    expected += ", or in a search `hp(\"label\")`";
                }
                problem(found).expected(expected)
            }
            None => Problem::at(at.span, message.to_owned()),
        }
    }

    fn unknown_field(&self, more: &[&str]) -> Problem {
        let (found, mut names) = unknown(&self.message);
        let parent = &self.wrong()[..self.wrong().len() - 1];
        if parent.is_empty() {
            names.extend(more.iter().map(|name| (*name).to_owned()));
        }
        names.sort();
        let at = locate(self.node, parent);
        let span = match &at.kind {
            Kind::Fields { fields, .. } => fields.iter().find(|field| field.key == found).map(|field| field.key_span),
            _ => None,
        };
        let names = names.iter().map(String::as_str);
        let problem = Problem::at(span.unwrap_or(at.span), format!("unknown field `{found}`"));
        problem.expected(one_of(names.clone())).did_you_mean(&found, names)
    }

    /// Returns where the value is without which there would be one mistake less.
    fn wrong(&self) -> Vec<Step> {
        let field = match quoted(&self.message).into_iter().next() {
            Some(field) if self.message.starts_with("unknown field") => field,
            _ => return self.steps.clone(),
        };
        // A field that is refused for its name may be on the path already.
        if self.steps.last() == Some(&Step::Name(field.clone())) { self.steps.clone() } else { self.inside(&field) }
    }

    fn inside(&self, field: &str) -> Vec<Step> {
        self.steps.iter().cloned().chain([Step::Name(field.to_owned())]).collect()
    }

    /// Returns what is allowed at `steps`, found by trying what is not.
    fn allowed(&self, steps: &[Step]) -> Option<String> {
        self.names(steps).or_else(|| {
            [Value::Null, Value::Array(Vec::new())].into_iter().find_map(|probe| {
                let message = self.attempt(steps, probe)?;
                split_expected(&message).map(|(_, expected)| wording(expected, false, None))
            })
        })
    }

    /// Returns the names that are allowed at `steps`, if one of several is.
    fn names(&self, steps: &[Step]) -> Option<String> {
        let message = self.attempt(steps, Value::from("?"))?;
        let (found, names) = unknown(message.strip_prefix("unknown variant").map(|_| message.as_str())?);
        (found == "?").then(|| one_of(names.iter().map(String::as_str)))
    }

    /// Returns whether `hp("label")` may stand there, and not just anything with fields.
    fn takes_a_label(&self) -> bool {
        let takes = |field: &str| {
            let mut json = self.json.clone();
            let Some(place) = place(&mut json, &self.steps) else { return false };
            *place = serde_json::json!({ field: "label" });
            let error = serde_path_to_error::deserialize::<_, T>(json).err();
            error.is_none_or(|error| !steps_of(error.path()).starts_with(&self.steps))
        };
        !self.steps.is_empty() && takes("hp") && !takes("?")
    }

    /// Returns what serde says of `probe` at `steps`; nothing if it is content with it, or complains about another place.
    fn attempt(&self, steps: &[Step], probe: Value) -> Option<String> {
        let mut json = self.json.clone();
        *place(&mut json, steps)? = probe;
        let error = serde_path_to_error::deserialize::<_, T>(json).err()?;
        (steps_of(error.path()) == steps).then(|| error.inner().to_string())
    }
}

/// Returns the place at the end of `steps`; a field that is not there is added.
fn place<'v>(json: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    let (last, before) = match steps.split_last() {
        Some((last, before)) => (last, before),
        None => return Some(json),
    };
    match (last, place(json, before)?) {
        (Step::Name(name), Value::Object(map)) => Some(map.entry(name.clone()).or_insert(Value::Null)),
        (Step::Index(index), Value::Array(items)) => items.get_mut(*index),
        _ => None,
    }
}

/// Leaves out the field around `steps`, and what would be left empty without it, such as a name with parentheses. Returns
/// where that was; nothing if all would be left out.
fn remove(json: &mut Value, mut steps: Vec<Step>) -> Option<Vec<Step>> {
    loop {
        let (last, parent) = steps.split_last()?;
        if let (Step::Name(field), Value::Object(map)) = (last, place(json, parent)?) {
            map.remove(field)?;
            if !map.is_empty() {
                return Some(steps);
            }
        }
        steps.pop();
    }
}

/// Returns what serde does not know, and what it knows, in "unknown field `a`, expected `b` or `c`".
fn unknown(message: &str) -> (String, Vec<String>) {
    let mut names = quoted(message).into_iter();
    (names.next().unwrap_or_default(), names.collect())
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns what was found and what was expected, in serde's words.
fn split_expected(message: &str) -> Option<(&str, &str)> {
    match message.strip_prefix("expected ") {
        Some(rest) => rest.rsplit_once(", found ").map(|(expected, found)| (found, expected)),
        None => message.rsplit_once(", expected ").filter(|_| message.starts_with("invalid ")),
    }
}

/// Returns serde's "expected .." in words for people. `name` is what is written there.
fn wording(expected: &str, is_too_large: bool, name: Option<&str>) -> String {
    let whole = |max: u64| {
        if is_too_large { format!("a whole number from 0 to {max}") } else { "a whole number of at least 0".to_owned() }
    };
    let name = || expected.rsplit_once("::").map(|(_, variant)| variant).or(name);
    match expected {
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" | "usize" => whole(u64::MAX),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a sequence" | "sequence" => "a list".to_owned(),
        "map" | "a map" => "fields: `(..)`".to_owned(),
        _ if expected.contains("unit") => name().map_or_else(|| "a name".to_owned(), |name| format!("`{name}` alone")),
        _ if expected.contains("variant") => name().map_or_else(|| "fields".to_owned(), |name| format!("`{name}(..)`")),
        _ if expected.starts_with("struct ") => "fields: `(..)`".to_owned(),
        _ => expected.replace("an array of length ", "a list of "),
    }
}

/// Returns the place of the name that a value begins with, rather than all of the value.
pub(super) fn name_of(node: &Node) -> Span {
    match (node.name(), &node.kind) {
        (Some(name), _) => Span { end: node.span.start + name.len(), ..node.span },
        (None, Kind::Fields { .. } | Kind::Tuple { .. } | Kind::List(_)) => {
            Span { end: node.span.end.min(node.span.start + 1), ..node.span }
        }
        _ => node.span,
    }
}

fn steps_of(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Name(key.clone())),
            Segment::Enum { variant } => Some(Step::Name(variant.clone())),
            Segment::Unknown => None,
        })
        .collect()
}
