//! The setting that says which weights of a training become outputs.

use crate::{
    choices,
    params::Domain,
    problem::{Path, Problem},
};

choices! {
    /// Weights that become outputs of a training.
    #[derive(Copy, Eq)]
    pub enum Keep {
        /// `best/weights.safetensors`: the weights after the epoch with the best value of the objective's metric, or after the
        /// last epoch if there is no validation split.
        Best,
        /// `last/weights.safetensors`: the weights after the last epoch.
        Last,
        /// `epoch-0010/weights.safetensors` and so on: the weights after every nth epoch.
        Every(u32 [Domain::Whole(1..=u32::MAX)]),
    }
}

impl Keep {
    /// Adds a problem for each item of `list` that occurs earlier in it.
    pub fn each_once(list: &[Self], at: &Path, problems: &mut Vec<Problem>) {
        for (i, keep) in list.iter().enumerate().filter(|(i, keep)| list[..*i].contains(keep)) {
            problems.push(Problem::new(at.index(i), format!("`{}` is listed twice", keep.name())));
        }
    }
}
