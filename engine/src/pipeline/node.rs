//! RON text as a tree of values that know their places.

use serde_json::{Number, Value};

use super::source::Span;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub span: Span,
    pub kind: Kind,
}

/// What a value is written as.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    /// `Name`
    Unit(String),
    /// `[a, b]`
    List(Vec<Node>),
    /// `{"a": 1}`, `(a: 1)` or `Name(a: 1)`
    Fields {
        name: Option<String>,
        fields: Vec<Field>,
    },
    /// `(a, b)` or `Name(a, b)`
    Tuple {
        name: Option<String>,
        items: Vec<Node>,
    },
}

/// A name and its value.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    /// Returns the JSON value that this is a notation for (see `pipe_stages::params`).
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::String(value) | Kind::Unit(value) => Value::String(value.clone()),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Fields { name, fields } => {
                let fields = fields.iter().map(|field| (field.key.clone(), field.value.to_json())).collect();
                tagged(name.as_deref(), Value::Object(fields))
            }
            Kind::Tuple { name, items } => {
                let content = match items.as_slice() {
                    [item] => item.to_json(),
                    items => items.iter().map(Self::to_json).collect(),
                };
                tagged(name.as_deref(), content)
            }
        }
    }

    /// Returns what kind of value this is, for people.
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "None",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::Unit(_) => "a name",
            Kind::List(_) => "a list",
            Kind::Fields { .. } => "a set of fields",
            Kind::Tuple { .. } => "a tuple",
        }
    }

    /// Returns the value with its name, for people.
    pub(super) fn described(&self) -> String {
        self.name().map_or_else(|| self.describe().to_owned(), |name| format!("`{name}`"))
    }

    /// Returns the value inside `Name(value)` and `(value)`; any other value as it is.
    pub(super) fn content(&self) -> &Self {
        match &self.kind {
            Kind::Tuple { items, .. } if items.len() == 1 => items[0].content(),
            _ => self,
        }
    }

    /// Returns the fields of `Name(a: 1)`, or none.
    pub(super) fn fields(&self) -> &[Field] {
        match &self.content().kind {
            Kind::Fields { fields, .. } => fields,
            _ => &[],
        }
    }

    /// Returns the field called `key`.
    pub(super) fn field(&self, key: &str) -> Option<&Field> {
        self.fields().iter().find(|field| field.key == key)
    }

    /// Returns the name before the parentheses, or the bare name.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Unit(name) => Some(name),
            Kind::Fields { name, .. } | Kind::Tuple { name, .. } => name.as_deref(),
            _ => None,
        }
    }
}

fn tagged(name: Option<&str>, content: Value) -> Value {
    match name {
        Some(name) => Value::Object([(name.to_owned(), content)].into_iter().collect()),
        None => content,
    }
}
