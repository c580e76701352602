//! RON text as a tree: each value with its place in the text.

use serde_json::{Number, Value};

use super::source::Span;

/// A value as it is written, with its place.
#[derive(Debug, Clone)]
pub(super) struct Term {
    pub span: Span,
    pub kind: TermKind,
}

/// How a value is written.
#[derive(Debug, Clone)]
pub(super) enum TermKind {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    /// `Name`
    Unit(String),
    /// `[a, b]`
    List(Vec<Term>),
    /// `{"a": 1}`, `(a: 1)` or `Name(a: 1)`
    Fields {
        name: Option<String>,
        fields: Vec<Field>,
    },
    /// `(a, b)` or `Name(a, b)`
    Tuple {
        name: Option<String>,
        items: Vec<Term>,
    },
    /// `Name(a: 1, b)`
    Mixed {
        name: String,
        fields: Vec<Field>,
        items: Vec<Term>,
    },
}

/// A field: a name and a value.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub key: String,
    pub key_span: Span,
    pub value: Term,
}

impl Term {
    /// Returns the JSON value that this stands for (see `pipe_stages::params`).
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            TermKind::Null => Value::Null,
            TermKind::Bool(value) => Value::Bool(*value),
            TermKind::Number(value) => Value::Number(value.clone()),
            TermKind::String(value) | TermKind::Unit(value) => Value::String(value.clone()),
            TermKind::List(items) => items.iter().map(Self::to_json).collect(),
            TermKind::Fields { name, fields } => {
                let fields = fields.iter().map(|field| (field.key.clone(), field.value.to_json())).collect();
                tagged(name.as_deref(), Value::Object(fields))
            }
            TermKind::Tuple { name, items } => {
                let content = match items.as_slice() {
                    [item] => item.to_json(),
                    items => items.iter().map(Self::to_json).collect(),
                };
                tagged(name.as_deref(), content)
            }
            // No value is written so. Its name is what is complained about.
            TermKind::Mixed { name, fields, items } => {
                let values = fields.iter().map(|field| &field.value).chain(items);
                tagged(Some(name), values.map(Self::to_json).collect())
            }
        }
    }

    /// Returns the kind of this value, for messages: `a list`.
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            TermKind::Null => "None",
            TermKind::Bool(_) => "a boolean",
            TermKind::Number(_) => "a number",
            TermKind::String(_) => "a string",
            TermKind::Unit(_) => "a name",
            TermKind::List(_) => "a list",
            TermKind::Fields { .. } => "a set of fields",
            TermKind::Tuple { .. } | TermKind::Mixed { .. } => "a tuple",
        }
    }

    /// Returns the value's name, or else its kind, for messages.
    pub(super) fn described(&self) -> String {
        self.name().map_or_else(|| self.describe().to_owned(), |name| format!("`{name}`"))
    }

    /// Returns the value inside `Name(value)` or `(value)`, and any other value as it is.
    pub(super) fn content(&self) -> &Self {
        match &self.kind {
            TermKind::Tuple { items, .. } if items.len() == 1 => items[0].content(),
            _ => self,
        }
    }

    /// Returns the fields of `Name(a: 1)`. Empty for a value without fields.
    pub(super) fn fields(&self) -> &[Field] {
        match &self.content().kind {
            TermKind::Fields { fields, .. } => fields,
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
            TermKind::Unit(name) | TermKind::Mixed { name, .. } => Some(name),
            TermKind::Fields { name, .. } | TermKind::Tuple { name, .. } => name.as_deref(),
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
