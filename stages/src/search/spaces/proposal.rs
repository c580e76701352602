//! One point of a space.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One configuration to be trained: a point of a space.
///
/// Its record, `proposal.json`, is `{"format":1,"labels":{..},"values":{..}}`. It holds neither the trial's index nor anything
/// about the search, so that equal proposals are equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// key of the space -> its value, with nested expressions settled
    pub values: Map<String, Value>,
    /// active label -> its value; for a choice, that of the chosen option
    pub labels: BTreeMap<String, Value>,
}
