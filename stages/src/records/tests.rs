//! Tests of the bytes of records.

use serde_json::{Value, json};

use super::*;
use crate::params::{Float, record};

/// Checks the bytes of a record, and that they are read as the same record.
#[track_caller]
fn check<R: Record + PartialEq + std::fmt::Debug>(written: &R, expected: &Value) {
    let bytes = record(written);
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), format!("{expected}\n"));
    assert_eq!(expected["format"], json!(R::FORMAT));
    let again = read::<R>(&bytes).unwrap();
    assert_eq!(record(&again), bytes);
    // A record with a NaN does not equal itself.
    #[expect(clippy::eq_op, reason = "it finds out whether the record has a NaN")]
    let comparable = written == written;
    assert!(!comparable || again == *written, "{again:?}");
}

fn score() -> Score {
    Score {
        format: Version,
        status: Status::Completed,
        metric: "valid.loss".to_owned(),
        value: Float(0.5),
        loss: Float(0.5),
        epoch: Some(3),
        reason: None,
    }
}

#[test]
fn the_bytes_of_a_score_do_not_change() {
    let completed =
        json!({ "format": 1, "status": "completed", "metric": "valid.loss", "value": 0.5, "loss": 0.5, "epoch": 3 });
    check(&score(), &completed);
    let failed = Score {
        status: Status::Failed,
        value: Float(f64::INFINITY),
        loss: Float(f64::INFINITY),
        epoch: None,
        reason: Some("too deep".to_owned()),
        ..score()
    };
    check(
        &failed,
        &json!({ "format": 1, "status": "failed", "metric": "valid.loss", "value": "Infinity", "loss": "Infinity",
                 "epoch": null, "reason": "too deep" }),
    );
}

#[test]
fn the_bytes_of_a_trial_do_not_change() {
    let trained = Trained {
        epochs: 2,
        steps: Some(20),
        diverged_at: None,
        best_epoch: None,
        settings: [("batch".to_owned(), json!(32))].into_iter().collect(),
        parameters: Some(10),
        flops: Some(20),
        figures: [("valid.loss".to_owned(), Figure { best: Float(0.5), best_epoch: 1, end: Float(1.0) })].into(),
        transfer: None,
        frozen: Vec::new(),
    };
    let trial = TrialRecord {
        status: Status::Completed,
        reason: None,
        hyperparameters: [("n".to_owned(), json!(8))].into_iter().collect(),
        labels: serde_json::Map::new(),
        trained: Some(trained),
    };
    check(
        &trial,
        &json!({ "format": 1, "status": "completed", "hyperparameters": { "n": 8 }, "labels": {}, "epochs": 2, "steps": 20,
                 "diverged_at": null, "best_epoch": null, "settings": { "batch": 32 }, "parameters": 10, "flops": 20,
                 "figures": { "valid.loss": { "best": 0.5, "best_epoch": 1, "end": 1.0 } } }),
    );
    let failed =
        TrialRecord { status: Status::Failed, reason: Some("too deep".to_owned()), trained: None, ..trial.clone() };
    check(
        &failed,
        &json!({ "format": 1, "status": "failed", "reason": "too deep", "hyperparameters": { "n": 8 }, "labels": {} }),
    );
    let mut lacks: Value = serde_json::from_slice(&record(&trial)).unwrap();
    lacks.as_object_mut().unwrap().remove("diverged_at");
    let error = read::<TrialRecord>(&record(&lacks)).unwrap_err().to_string();
    assert!(error.starts_with("missing field `diverged_at`"), "{error}");
}

#[test]
fn the_bytes_of_a_link_do_not_change() {
    let previous = pipe_store::Digest::of(b"before");
    let link = HistoryLink {
        format: Version,
        trial: 3,
        status: Status::Diverged,
        loss: Float(f64::NAN),
        others: Vec::new(),
        epoch: None,
        reason: Some("why".to_owned()),
        previous: Some(previous),
    };
    check(
        &link,
        &json!({ "format": 1, "trial": 3, "status": "diverged", "loss": "NaN", "reason": "why", "previous": previous }),
    );
}

#[test]
fn the_bytes_of_a_stop_do_not_change() {
    check(&StopRecord { format: Version, stop: false, reason: None }, &json!({ "format": 1, "stop": false }));
    let stop = StopRecord { format: Version, stop: true, reason: Some("why".to_owned()) };
    check(&stop, &json!({ "format": 1, "stop": true, "reason": "why" }));
}

#[test]
fn an_error_names_the_field() {
    let check = |change: fn(&mut Value), expected: &str| {
        let mut value: Value = serde_json::from_slice(&record(&score())).unwrap();
        change(&mut value);
        let error = read::<Score>(&record(&value)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    check(|value| value["loss"] = json!("low"), "`loss`: expected a number, found \"low\"");
    check(|value| value["status"] = json!("done"), "`status`: unknown variant `done`");
    check(|value| value["accuracy"] = json!(1), "`accuracy`: unknown field `accuracy`");
    check(|value| drop(value.as_object_mut().unwrap().remove("metric")), "missing field `metric`");
    check(|value| value["format"] = json!(2), "its format is 2, this build reads format 1");
    let other = json!({ "format": 7, "score": 1 });
    let error = read::<Score>(&record(&other)).unwrap_err().to_string();
    assert_eq!(error, "its format is 7, this build reads format 1");
    assert!(read::<Score>(b"{\"format\":1").is_err() && read::<Score>(b"").is_err());
    assert!(read::<Score>(&[record(&score()), b"x".to_vec()].concat()).is_err());
}
