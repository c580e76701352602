//! Expands a pipeline to a plan: each stage becomes its nodes.

use std::collections::BTreeMap;

pub use super::stage::Downloads;
use super::{spec::Pipeline, stage::Expansion};
use crate::plan::Plan;

/// Returns the plan of `pipeline`.
///
/// # Panics
/// If a stage reads from one that is missing or of a wrong kind, which reading a pipeline refuses.
pub fn expand(pipeline: &Pipeline, downloads: &Downloads) -> Plan {
    let mut expansion = Expansion {
        stages: &pipeline.stages,
        seed: pipeline.seed,
        downloads,
        nodes: Vec::new(),
        notes: Vec::new(),
        searches: Vec::new(),
        made: BTreeMap::new(),
    };
    for (name, _) in pipeline.stages.iter() {
        expansion.node_of(name);
    }
    let Expansion { nodes, notes, searches, .. } = expansion;
    let (device, precision) = (pipeline.device, pipeline.precision);
    Plan { name: pipeline.name.clone(), pipeline: pipeline.record(), device, precision, nodes, notes, searches }
}
