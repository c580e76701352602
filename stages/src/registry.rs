//! The stages and devices of this build.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    augment::Augment, command::Command, decode::Decode, evaluate::Evaluate, fetch::FetchAction, history::History,
    known::Known, promote::Promote, propose::Propose, select::Select, split::Split, stage::Stage, stop::Stop,
    train::Train, visualize_filters::VisualizeFilters,
};

macro_rules! stages {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $stage:ty;)*) => {
        /// The name of a stage, as actions and studies record it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum StageName {
            $($(#[$doc])* $variant,)*
        }

        impl StageName {
            /// Every stage of this build.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the name as it is recorded: `train`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns the stage with the recorded `name`, if this build has it.
            pub fn find(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            fn instantiate(self, params: &Value) -> Result<Box<dyn Stage>, String> {
                match self {
                    $(Self::$variant => read::<$stage>($name, params),)*
                }
            }
        }
    };
}

// To add a stage, add a line here.
stages! {
    /// Fetches files, or generates data.
    Fetch, "fetch", FetchAction;
    /// Makes splits of images from fetched files.
    Decode, "decode", Decode;
    /// Decides how images are normalised and augmented.
    Augment, "augment", Augment;
    /// Proposes the next trial of a search.
    Propose, "propose", Propose;
    /// Chooses an earlier trial to train further, instead of proposing a new one.
    Promote, "promote", Promote;
    /// Adds a trial's score to the history of its search.
    History, "history", History;
    /// Writes down trials of an earlier study.
    Known, "known", Known;
    /// Divides the trials that a sampler sees into good and bad ones.
    Split, "split", Split;
    /// Decides whether a search goes on.
    Stop, "stop", Stop;
    /// Selects the best trial of a search.
    Select, "select", Select;
    /// Trains a network.
    Train, "train", Train;
    /// Evaluates a network on a split that it was not trained on.
    Evaluate, "evaluate", Evaluate;
    /// Runs a program of the user's own.
    Command, "command", Command;
    /// Shows what the filters of a network respond to.
    VisualizeFilters, "visualize_filters", VisualizeFilters;
}

impl StageName {
    /// Returns whether a trial of a search may execute it: a training by `pipe`, or by a program of the user's own.
    pub fn trains(self) -> bool {
        matches!(self, Self::Train | Self::Command)
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns the stage `name` with the parameters `params`.
///
/// # Errors
/// If this build does not have the stage, has another version of it, or cannot read the parameters.
pub fn instantiate(name: &str, version: u32, params: &Value) -> Result<Box<dyn Stage>, String> {
    let stage =
        StageName::find(name).ok_or_else(|| format!("this build has no stage `{name}`"))?.instantiate(params)?;
    let known = stage.id();
    debug_assert_eq!(known.name, name, "a stage must be listed under its own name");
    if known.version != version {
        return Err(format!("this build has version {} of the stage `{name}`, not version {version}", known.version));
    }
    Ok(stage)
}

fn read<S: Stage + DeserializeOwned + 'static>(name: &str, params: &Value) -> Result<Box<dyn Stage>, String> {
    let stage: S = serde_json::from_value(params.clone())
        .map_err(|error| format!("the parameters of `{name}` do not fit: {error}"))?;
    Ok(Box::new(stage))
}

/// Sets the number of threads that this process computes with. Call it once, before anything is computed: a later call has no
/// effect. The number of threads does not change results.
pub fn use_threads(threads: usize) {
    pipe_store::start_threads(Some(threads));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_stage() {
        for stage in StageName::ALL {
            assert_eq!(StageName::find(stage.as_str()), Some(*stage));
        }
        assert_eq!(StageName::find("Train"), None);
    }
}
