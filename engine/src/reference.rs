//! The reference tables of the documentation that are made from the engine's own declarations.

use pipe_stages::params::reference::fields;

use crate::pipeline::stages::{
    command::params::CommandParams, init::InitParams, retrain::RetrainParams, search::SearchParams,
};

/// Returns the tables, each with the name of its region in a page.
pub fn tables() -> Vec<(&'static str, String)> {
    vec![
        ("search", fields::<SearchParams>()),
        ("retrain", fields::<RetrainParams>()),
        ("command", fields::<CommandParams>()),
        ("init_weights", fields::<InitParams>()),
    ]
}
