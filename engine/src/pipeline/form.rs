//! The fields of a stage that is being read. Some name other stages; the rest are its parameters.

use pipe_stages::{
    params::{Domain, Read},
    problem::{self, Part, Path, Step},
};
use serde_json::{Map, Value};

use super::{located::located, mistake::Mistake, term::Term, walk::name_of};

/// The content of a stage's parentheses.
pub(super) struct Form<'n> {
    /// The written content, which has the places.
    term: &'n Term,
    content: Value,
    /// The fields that were taken, for the list of known fields in a mistake.
    taken: Vec<&'static str>,
    /// Where else fields of a name would be right, for a mistake: the path of a value, and its fields.
    elsewhere: Vec<(String, Vec<&'static str>)>,
}

impl<'n> Form<'n> {
    /// Returns the form of `Name(..)`.
    pub(super) fn new(term: &'n Term) -> Self {
        let json = term.to_json();
        let content = match (term.name(), json) {
            // A bare name has no fields.
            (Some(_), Value::String(_)) => Value::Object(Map::new()),
            (Some(name), Value::Object(mut map)) => map.remove(name).unwrap_or_default(),
            (_, json) => json,
        };
        let term = term.content();
        Self { term, content, taken: Vec::new(), elsewhere: Vec::new() }
    }

    /// Says that fields of these names are known at `path`. Whoever writes one of them here may mean that.
    pub(super) fn also_at(&mut self, path: String, fields: impl IntoIterator<Item = &'static str>) {
        self.elsewhere.push((path, fields.into_iter().collect()));
    }

    /// Returns the fields of the stage: those that were taken, and those of its parameters.
    pub(super) fn known<T: Read>(&self) -> Vec<&'static str> {
        T::fields().iter().chain(&self.taken).copied().collect()
    }

    /// Removes a field and returns its value.
    pub(super) fn take(&mut self, field: &'static str) -> Option<Value> {
        self.taken.push(field);
        self.content.as_object_mut()?.remove(field)
    }

    /// Returns a field's value.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.content.as_object()?.get(field)
    }

    /// Adds a field.
    pub(super) fn put(&mut self, field: &str, value: Value) {
        if let Some(fields) = self.content.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
    }

    /// Removes a field that names a stage to read from, and returns that name. If it is missing or not a name, adds a mistake
    /// and returns `None`.
    pub(super) fn reference(&mut self, field: &'static str, mistakes: &mut Vec<Mistake>) -> Option<String> {
        match self.optional_reference(field, mistakes)? {
            Some(name) => Some(name),
            None => {
                let expected = format!("`{field}: \"name of a stage\"`");
                mistakes.push(Mistake::missing_field(name_of(self.term), field, expected));
                None
            }
        }
    }

    /// Removes a field that may name a stage to read from, and returns that name, if there is one. If it is not a name, adds a
    /// mistake and returns `None`.
    pub(super) fn optional_reference(
        &mut self,
        field: &'static str,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Option<String>> {
        match self.take(field) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(name)) => Some(Some(name)),
            Some(_) => {
                let term = self.term.field(field).map_or(self.term, |field| &field.value);
                let mistake = Mistake::at(term.span, format!("`{field}`: found {}", term.describe()));
                mistakes.push(mistake.expected("the name of a stage, as a string"));
                None
            }
        }
    }

    /// Reads the fields that are left.
    pub(super) fn read<T: Read>(&self, mistakes: &mut Vec<Mistake>) -> Option<T> {
        let mut found = Vec::new();
        let read = T::read(&self.content, &Domain::Any, &Path::here(), &mut found);
        let with_taken = |problem: problem::Problem| match problem.at.steps() {
            // The fields that were taken are known, too.
            [Step::Name(name)] if problem.part == Part::Key => {
                let problem = problem::Problem::unknown_field(&Path::here(), name, self.known::<T>());
                match self.elsewhere.iter().find(|(_, fields)| fields.contains(&name.as_str())) {
                    Some((path, _)) => problem.help(format!("did you mean `{path}.{name}`?")),
                    None => problem,
                }
            }
            _ => problem,
        };
        mistakes.extend(found.into_iter().map(|problem| located(self.term, with_taken(problem))));
        read
    }
}
