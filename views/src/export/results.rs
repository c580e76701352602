//! A study as the result files of Hyperopt-Keras-CNN-CIFAR-100 (G. Chevalier, 2017): one JSON file per trial, with the same
//! names and fields, so that scripts written for those files can read it.

use pipe_engine::study::Study;
use pipe_stages::{
    params::Float,
    records::{Figure, TrainingHistory, TrialRecord},
};
use pipe_store::Store;
use serde_json::{Map, Value, json};

use crate::{
    ViewError,
    outputs::Outputs,
    trials::{TrialRow, table},
};

/// Returns the files as (name, content), in the order of the trials. A trial that diverged has a file with the epochs that it
/// completed. A trial without a training has none.
///
/// # Errors
/// If an object cannot be read.
pub fn files(store: &Store, study: &Study) -> Result<Vec<(String, String)>, ViewError> {
    let mut files = Vec::new();
    for row in table(store, study)? {
        let node = &study.nodes[&row.node];
        let Some(outputs) = Outputs::of(store, &row.node, node)? else { continue };
        let Some(history) = outputs.history()? else { continue };
        let Some(trial) = outputs.record()? else { continue };
        let short = node.action.map(|key| key.to_string()[..5].to_owned()).unwrap_or_default();
        let (name, result) = result(&row, &trial, &history, &short);
        files.push((format!("{name}.txt.json"), text(&result)));
    }
    Ok(files)
}

/// Returns a trial's name and result: `loss` is what the sampler minimised, `real_loss` the loss of all heads and the
/// penalties after the last epoch.
fn result(row: &TrialRow, trial: &TrialRecord, history: &TrainingHistory, short: &str) -> (String, Value) {
    let figures = trial.trained.as_ref().map(|trained| &trained.figures);
    let figure = |metric: &str, of: fn(&Figure) -> Float| {
        let found = figures.and_then(|figures| figures.get(metric)).map_or(Float(f64::NAN), of);
        json!(found)
    };
    let heads = history.heads();
    let main =
        heads.first().map_or("NaN".into(), |head| figure(&format!("valid.{head}_accuracy"), |figure| figure.best));
    let name = format!("model_{}_{short}", plain(&main));
    let mut fields = Map::new();
    fields.insert("loss".into(), json!(row.loss));
    fields.insert("real_loss".into(), figure("valid.loss", |figure| figure.end));
    for head in &heads {
        for figure_of in ["loss", "accuracy"] {
            let metric = format!("valid.{head}_{figure_of}");
            fields.insert(format!("{head}_best_{figure_of}"), figure(&metric, |figure| figure.best));
            fields.insert(format!("{head}_end_{figure_of}"), figure(&metric, |figure| figure.end));
        }
    }
    fields.insert("model_name".into(), name.clone().into());
    fields.insert("space".into(), trial.hyperparameters.clone().into());
    fields.insert("history".into(), keras(history, &heads));
    fields.insert("status".into(), if row.is_completed() { "ok" } else { "fail" }.into());
    (name, Value::Object(fields))
}

/// Returns the metrics of each epoch, with names as in Keras 2.0: `val_fine_outputs_acc`.
fn keras(history: &TrainingHistory, heads: &[&str]) -> Value {
    let mut curves = Map::new();
    for (split, prefix) in [("train", ""), ("valid", "val_")] {
        let mut add = |ours: String, theirs: String| {
            if let Some(curve) = history.curve(&ours) {
                let values = curve.into_iter().map(|(_, value)| json!(Float(value)));
                curves.insert(format!("{prefix}{theirs}"), values.collect());
            }
        };
        add(format!("{split}.loss"), "loss".to_owned());
        for head in heads {
            add(format!("{split}.{head}_loss"), format!("{head}_outputs_loss"));
            add(format!("{split}.{head}_accuracy"), format!("{head}_outputs_acc"));
        }
    }
    Value::Object(curves)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the text as Python's `json.dump(.., sort_keys=True, indent=4)` writes it. NaN and infinity are bare words: Python
/// reads them, although they are not JSON.
fn text(result: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, serde_json::ser::PrettyFormatter::with_indent(b"    "));
    serde::Serialize::serialize(result, &mut serializer).expect("memory takes plain data");
    let text = String::from_utf8(bytes).expect("JSON is UTF-8");
    ["NaN", "Infinity", "-Infinity"].iter().fold(text, |text, word| text.replace(&format!("\"{word}\""), word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Builder, Trial};

    #[test]
    fn a_trial_has_the_fields_of_the_original_files() {
        let (store, study) = Builder::new().search("search", &[Trial::completed(0.5), Trial::diverged()]).done();
        let files = files(&store, &study).unwrap();
        assert_eq!(files.len(), 2);
        let (name, text) = &files[0];
        assert!(name.starts_with("model_0.5_") && name.ends_with(".txt.json"), "{name}");
        let result: Value = serde_json::from_str(&text.replace("NaN", "null")).unwrap();
        let expected = [
            "coarse_best_accuracy",
            "coarse_best_loss",
            "coarse_end_accuracy",
            "coarse_end_loss",
            "fine_best_accuracy",
            "fine_best_loss",
            "fine_end_accuracy",
            "fine_end_loss",
            "history",
            "loss",
            "model_name",
            "real_loss",
            "space",
            "status",
        ];
        assert_eq!(result.as_object().unwrap().keys().collect::<Vec<_>>(), expected);
        assert_eq!(
            (&result["loss"], &result["fine_best_accuracy"], &result["status"]),
            (&json!(-0.5), &json!(0.5), &json!("ok"))
        );
        assert_eq!(result["history"]["val_fine_outputs_acc"].as_array().unwrap().len(), 4);
        assert!(text.contains("\n    \"fine_best_accuracy\": 0.5,\n"), "{text}");
        let (name, text) = &files[1];
        assert!(
            name.starts_with("model_") && text.contains("\"loss\": Infinity") && text.contains("\"status\": \"fail\""),
            "{text}"
        );
        assert!(text.contains("NaN") && !text.contains("\"NaN\""));
    }
}
