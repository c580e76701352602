//! Imports trials that were recorded elsewhere, as a record that a search can start from.

use std::collections::BTreeMap;

use pipe_stages::{
    records::{Imported, ImportedTrials, Version},
    search::Space,
};
use serde::Deserialize;
use serde_json::Value;

/// The trials of a file, imported for a space.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The record of the trials that the space could have proposed.
    pub record: ImportedTrials,
    /// The other trials: (index in the file, why the space could not have proposed it).
    pub misfits: Vec<(usize, String)>,
}

/// Why a file of trials cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not JSON.
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    /// The file is too large.
    #[error("it has {0} bytes, expected at most {FILE}")]
    TooLarge(usize),
    /// The file is in none of the [`FORMATS`].
    #[error("it has no trials: expected {FORMATS}")]
    Unknown,
}

/// The most bytes of a file of trials. A trial takes about a thousand, and a parsed file ten times its size.
pub const FILE: usize = 64 << 20;

/// The formats that can be read, for messages.
pub const FORMATS: &str = "the output of `pipe trials --json`, a record that `pipe import-trials` wrote, or \
                           {\"trials\": [{\"hyperopt_vals\": {..}, \"loss\": ..}, ..]} with the values of Hyperopt's trials";

/// A trial in any of the formats.
#[derive(Deserialize)]
struct Foreign {
    /// The value of each active hyperparameter. Older versions of `pipe trials --json` called them labels.
    #[serde(alias = "hyperparameters")]
    labels: Option<BTreeMap<String, Value>>,
    /// What Hyperopt keeps for each label: for a choice the index of its option, for an inactive label null.
    hyperopt_vals: Option<BTreeMap<String, Value>>,
    /// The value of each key that differs from its label.
    #[serde(default)]
    space: BTreeMap<String, Value>,
    status: Option<String>,
    /// The value that was minimised. A failed trial may have a string here, or nothing.
    #[serde(default)]
    loss: Value,
}

/// Reads the trials in `text`, and keeps those that `space` could have proposed, in their order.
///
/// # Errors
/// If the text is in none of the [`FORMATS`], or has more than [`FILE`] bytes.
pub fn read(text: &str, space: &Space) -> Result<Import, ImportError> {
    if text.len() > FILE {
        return Err(ImportError::TooLarge(text.len()));
    }
    let (source, trials) = match serde_json::from_str(text)? {
        Value::Object(mut file) => {
            let source = file.get("source").and_then(Value::as_str).map(str::to_owned);
            (source, file.remove("trials").unwrap_or_default())
        }
        file => (None, file),
    };
    let trials: Vec<Foreign> = serde_json::from_value(trials).map_err(|_| ImportError::Unknown)?;
    if trials.is_empty() || trials.iter().any(|trial| trial.labels.is_none() && trial.hyperopt_vals.is_none()) {
        return Err(ImportError::Unknown);
    }
    let mut import =
        Import { record: ImportedTrials { format: Version, source, trials: Vec::new() }, misfits: Vec::new() };
    for (i, trial) in trials.into_iter().enumerate() {
        // A trial of Hyperopt has a usable loss only if its status is `ok`.
        let completed = trial.status.as_deref().is_none_or(|status| ["ok", "completed"].contains(&status));
        let loss = trial.loss.as_f64().filter(|_| completed);
        let read = match (trial.labels, trial.hyperopt_vals) {
            (Some(labels), _) => Ok(Imported::new(labels, loss)),
            (None, values) => Imported::of_hyperopt(space, &values.unwrap_or_default(), &trial.space, loss),
        };
        match read.and_then(|trial| trial.of_space(space)) {
            Ok(trial) => import.record.trials.push(trial),
            Err(why) => import.misfits.push((i, why)),
        }
    }
    Ok(import)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn space() -> Space {
        serde_json::from_value(json!({
            "optimizer": {"choice": ["Adam", "Nadam", "RMSprop"]},
            "first_conv": {"choice": [null, {"label": ["first_conv_size", {"choice": [3, 4]}]}]},
            "residual": {"choice": [null, {"label": ["residual_units", {"quniform": [0.501, 4.499, 1]}]}]},
            "conv_dropout_drop_proba": {"uniform": [0, 0.35]},
        }))
        .unwrap()
    }

    /// Trial 1 of github.com/guillaume-chevalier/Hyperopt-Keras-CNN-CIFAR-100 (MIT), shortened.
    #[test]
    fn indices_of_hyperopt_become_values() {
        let file = json!({ "source": "somewhere", "trials": [{
            "status": "ok",
            "hyperopt_vals": {"optimizer": 2.0, "first_conv": 1.0, "first_conv_size": 1.0, "residual": 0.0,
                              "residual_units": null, "conv_dropout_proba": 0.0025825},
            "space": {"optimizer": "RMSprop", "first_conv": 4.0, "conv_dropout_drop_proba": 0.0025825},
            "loss": -0.4785,
        }, {"hyperopt_vals": {"optimizer": 3.0}, "status": "ok", "loss": 1}] });
        let import = read(&file.to_string(), &space()).unwrap();
        let labels = json!({"optimizer": "RMSprop", "first_conv": 4, "first_conv_size": 4, "residual": null,
                            "conv_dropout_drop_proba": 0.0025825});
        assert_eq!(import.record.trials, [Imported::new(serde_json::from_value(labels).unwrap(), Some(-0.4785))]);
        let why =
            "it has no value for the hyperparameter `conv_dropout_drop_proba` that the space could propose".to_owned();
        assert_eq!((import.misfits, import.record.source), (vec![(1, why)], Some("somewhere".to_owned())));
    }

    #[test]
    fn trials_of_pipe_have_hyperparameters_and_those_of_older_versions_labels() {
        let space: Space = serde_json::from_value(json!({"rate": {"uniform": [0, 1]}})).unwrap();
        let read = |key: &str| read(&json!([{ key: {"rate": 0.5}, "loss": 1 }]).to_string(), &space).unwrap();
        assert_eq!(read("hyperparameters").record.trials.len(), 1);
        assert_eq!(read("hyperparameters"), read("labels"));
    }

    #[test]
    fn a_file_without_trials_is_refused() {
        assert!(matches!(read("epoch,loss", &space()), Err(ImportError::Json(_))));
        for text in ["{}", "[]", "{\"trials\": []}", "[{\"loss\": 1}]"] {
            assert!(matches!(read(text, &space()), Err(ImportError::Unknown)), "{text}");
        }
    }
}
