//! Which weights of a training become outputs.

use crate::{
    choices,
    params::Domain,
    problem::{Path, Problem},
};

choices! {
    /// Weights that become outputs.
    #[derive(Copy, Eq)]
    pub enum Keep {
        /// `best/weights.safetensors`: of the epoch where the objective's metric is best; of the last epoch if there is no
        /// validation split.
        Best,
        /// `last/weights.safetensors`: of the last epoch.
        Last,
        /// `epoch-0010/weights.safetensors` and so on: every so many epochs.
        Every(u32 [Domain::Whole(1..=u32::MAX)]),
    }
}

impl Keep {
    /// Complains about weights that are listed twice.
    pub fn each_once(list: &[Self], at: &Path, problems: &mut Vec<Problem>) {
        for (i, keep) in list.iter().enumerate().filter(|(i, keep)| list[..*i].contains(keep)) {
            problems.push(Problem::new(at.index(i), format!("`{}` is listed twice", keep.name())));
        }
    }
}
