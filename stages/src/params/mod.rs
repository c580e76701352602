//! Parameters: declared once, read with every problem at its place, written as canonical JSON.
//!
//! RON text in `pipeline.ron` is a notation for one JSON value: `Name(a: 1)` is `{"Name":{"a":1}}`, `Name(1)` is
//! `{"Name":1}`, `Name(1, 2)` is `{"Name":[1,2]}`, `Name` is `"Name"`, `(a: 1)` and `{"a": 1}` are `{"a":1}`, `None` is
//! `null`, `Some(x)` is `x`. Parameters are read from that value by [`Read`]; serde's `Deserialize` is the same reader.

mod declare;
mod domain;
mod hyper;
mod notation;
mod read;
mod record;
pub mod reference;
#[cfg(test)]
mod tests;

pub(crate) use self::hyper::whole;
pub use self::{
    declare::{Choice, Choices, Declaration, Declared, one_line, one_of_choices, written},
    domain::Domain,
    hyper::{Hyper, label, proposed},
    notation::notation,
    read::{Fields, Read, Unfilled, content, deserialize, named, no_content, read},
    record::{Float, is_default, record, sorted_record},
};
