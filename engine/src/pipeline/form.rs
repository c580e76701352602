//! The fields of a stage while they are taken apart: those that name other stages, and the rest, which are its parameters.

use pipe_stages::{
    params::{Domain, Read},
    problem::{self, Part, Path, Step},
};
use serde_json::{Map, Value};

use super::{located::located, node::Node, path::name_of, problem::Problem};

/// What stands in the parentheses of a stage.
pub(super) struct Form<'n> {
    /// Where problems are looked for.
    node: &'n Node,
    content: Value,
    /// Fields that were asked for, for "expected one of".
    taken: Vec<&'static str>,
}

impl<'n> Form<'n> {
    /// Returns the form of `Name(..)`.
    pub(super) fn new(node: &'n Node) -> Self {
        let json = node.to_json();
        let content = match (node.name(), json) {
            // A bare name has no fields.
            (Some(_), Value::String(_)) => Value::Object(Map::new()),
            (Some(name), Value::Object(mut map)) => map.remove(name).unwrap_or_default(),
            (_, json) => json,
        };
        let node = node.content();
        Self { node, content, taken: Vec::new() }
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, field: &'static str) -> Option<Value> {
        self.taken.push(field);
        self.content.as_object_mut()?.remove(field)
    }

    /// Puts a field in.
    pub(super) fn put(&mut self, field: &str, value: Value) {
        if let Some(fields) = self.content.as_object_mut() {
            fields.insert(field.to_owned(), value);
        }
    }

    /// Takes the name of a stage to read from.
    pub(super) fn reference(&mut self, field: &'static str, problems: &mut Vec<Problem>) -> Option<String> {
        match self.optional_reference(field, problems)? {
            Some(name) => Some(name),
            None => {
                let problem = Problem::at(name_of(self.node), format!("missing field `{field}`"));
                problems.push(problem.expected(format!("`{field}: \"name of a stage\"`")));
                None
            }
        }
    }

    /// Takes the name of a stage to read from, if there is one. `None` stands for what was complained about.
    pub(super) fn optional_reference(
        &mut self,
        field: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<Option<String>> {
        match self.take(field) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(name)) => Some(Some(name)),
            Some(_) => {
                let node = self.node.field(field).map_or(self.node, |field| &field.value);
                let problem = Problem::at(node.span, format!("`{field}`: found {}", node.describe()));
                problems.push(problem.expected("the name of a stage, as a string"));
                None
            }
        }
    }

    /// Reads what is left.
    pub(super) fn read<T: Read>(&self, problems: &mut Vec<Problem>) -> Option<T> {
        let mut found = Vec::new();
        let read = T::read(&self.content, &Domain::Any, &Path::here(), &mut found);
        let all = |problem: problem::Problem| match problem.at.steps() {
            // Fields that were taken out are known, too.
            [Step::Name(name)] if problem.part == Part::Key => {
                problem::Problem::unknown_field(&Path::here(), name, T::fields().iter().chain(&self.taken).copied())
            }
            _ => problem,
        };
        problems.extend(found.into_iter().map(|problem| located(self.node, all(problem))));
        read
    }
}
