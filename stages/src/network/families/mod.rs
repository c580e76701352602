//! Families of networks: each builds an [`Architecture`](super::Architecture) from hyperparameters that a search proposes or a
//! user sets.

mod cnn;
mod etha_net;
mod family;
mod hyper_cnn;
mod mlp;
mod proposed;
mod row;
mod table;

use serde_json::Value;

pub use self::{
    family::{Family, TRAINING},
    proposed::Proposed,
    row::Row,
    table::{Chain, Table, TableFamily, Values},
};
use crate::problem::{Path, Problem};

/// All families.
pub static TABLES: [&Table; 4] = [&hyper_cnn::HYPER_CNN, &mlp::MLP, &cnn::CNN, &etha_net::ETHA_NET];

/// Returns the family called `name` with these `settings`.
///
/// # Errors
/// If there is no such family, or settings are wrong. All problems are returned.
pub fn named(name: &str, settings: &Value) -> Result<TableFamily, Vec<Problem>> {
    let unknown = || Problem::unknown_name(&Path::here(), name, TABLES.map(|table| table.name));
    let table = TABLES.into_iter().find(|table| table.name == name).ok_or_else(|| vec![unknown()])?;
    let mut problems = Vec::new();
    let family = table.read(settings, &Path::here(), &mut problems);
    family.filter(|_| problems.is_empty()).ok_or(problems)
}
