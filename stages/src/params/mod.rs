//! Parameters: declared with macros, read with all problems reported at their places, written as canonical JSON.
//!
//! RON text in `pipeline.ron` is a notation for a JSON value:
//!
//! | RON | JSON |
//! |---|---|
//! | `Name` | `"Name"` |
//! | `Name(1)` | `{"Name":1}` |
//! | `Name(1, 2)` | `{"Name":[1,2]}` |
//! | `Name(a: 1)` | `{"Name":{"a":1}}` |
//! | `(a: 1)`, `{"a": 1}` | `{"a":1}` |
//! | `None` | `null` |
//! | `Some(x)` | `x` |
//!
//! [`Read`] reads parameters from that value. Their `Deserialize` uses the same reader.

mod declare;
mod domain;
mod hyper;
mod label_use;
mod notation;
mod read;
mod record;
pub mod reference;
#[cfg(test)]
mod tests;
mod units;

pub(crate) use self::hyper::whole;
pub use self::{
    declare::{Choice, Choices, Declaration, Declared, domain, one_line, one_of_choices, written},
    domain::Domain,
    hyper::{Hyper, label, proposed},
    label_use::LabelUse,
    notation::notation,
    read::{Fields, Read, Unfilled, content, deserialize, named, no_content, read},
    record::{Float, digest_of_sorted_record, for_programs, is_default, record, sorted_record},
    units::{Bytes, Time},
};
