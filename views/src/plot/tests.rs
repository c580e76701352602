//! Tests of every kind of picture, with made-up studies.

use super::*;
use crate::{
    testing::{Builder, Trial},
    trials,
};

const KINDS: [TrialPicture; 11] = [
    TrialPicture::History,
    TrialPicture::Curves,
    TrialPicture::ScatterMatrix,
    TrialPicture::Parallel,
    TrialPicture::Slice,
    TrialPicture::Contour,
    TrialPicture::Scatter3d,
    TrialPicture::Histograms,
    TrialPicture::Edf,
    TrialPicture::Rank,
    TrialPicture::Convergence,
];

fn drawn(kind: TrialPicture, choice: &ShownColumns, values: &[f64]) -> Result<String, String> {
    let trials: Vec<_> =
        values.iter().map(|value| if value.is_nan() { Trial::diverged() } else { Trial::completed(*value) }).collect();
    let mut builder = Builder::new();
    builder.n_labels = 5;
    let (store, study) = builder.search("search", &trials).done();
    let rows = trials::table(&store, &study).unwrap();
    draw(kind, &store, &study, &rows, choice).map(|picture| picture.document()).map_err(|error| error.to_string())
}

#[test]
fn every_kind_of_picture_is_reproducible() {
    let values = [0.3, 0.1, f64::NAN, 0.5, 0.2, 0.6];
    for kind in KINDS {
        let svg = drawn(kind, &ShownColumns::default(), &values).unwrap();
        let names = kind == TrialPicture::Rank || svg.contains("valid.fine_accuracy");
        assert!(svg.starts_with("<svg") && names, "{kind:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{kind:?}");
        assert_eq!(Ok(svg), drawn(kind, &ShownColumns::default(), &values), "{kind:?}");
    }
}

#[test]
fn one_trial_is_enough_for_pictures_without_hyperparameters() {
    for kind in KINDS {
        let result = drawn(kind, &ShownColumns::default(), &[0.5]);
        assert_eq!(
            result.is_ok(),
            matches!(
                kind,
                TrialPicture::History | TrialPicture::Curves | TrialPicture::Edf | TrialPicture::Convergence
            ),
            "{kind:?}: {result:?}"
        );
        let error = drawn(kind, &ShownColumns::default(), &[f64::NAN]).unwrap_err();
        assert_eq!(error, "no trial with a result is left", "{kind:?}");
    }
    let error = drawn(TrialPicture::Repeats, &ShownColumns::default(), &[0.5, 0.6]).unwrap_err();
    assert_eq!(error, "no configuration was tried more than once");
}

#[test]
fn columns_are_chosen_by_name_and_trimming_is_noted() {
    let choice = ShownColumns {
        x: Some("lr_rate_mult".into()),
        y: Some("parameters".into()),
        z: Some("end.valid.loss".into()),
        colour: Some("activation".into()),
        trims: vec!["lr_rate_mult=1".parse().unwrap()],
        ..ShownColumns::default()
    };
    let svg = drawn(TrialPicture::Scatter3d, &choice, &[0.3, 0.1, 0.5, 0.2, 0.6]).unwrap();
    for part in [
        "parameters (count)",
        "end.valid.loss (nats, with penalties)",
        "kind k1",
        "1 of 5 trials are trimmed (lr_rate_mult=1)",
    ] {
        assert!(svg.contains(part), "no `{part}`");
    }
    let wrong = ShownColumns { metric: Some("valid.f1".into()), ..ShownColumns::default() };
    assert!(drawn(TrialPicture::Curves, &wrong, &[0.3]).unwrap_err().contains("there are train.coarse_accuracy, "));
}

#[test]
fn trials_with_equal_hyperparameters_are_repeats() {
    let trials = [0.3, 0.1, 0.5, 0.2].map(Trial::completed);
    let (store, study) = Builder::new().search("search", &trials).done();
    let mut rows = trials::table(&store, &study).unwrap();
    rows[2].labels = rows[0].labels.clone();
    rows[3].labels = rows[1].labels.clone();
    let svg = draw(TrialPicture::Repeats, &store, &study, &rows, &ShownColumns::default()).unwrap().document();
    assert!(svg.contains("activation relu, lr_rate_mult 1<") && svg.contains("0.4 ± 1.3"), "{svg}");
}

#[test]
fn importances_are_based_on_the_trials_that_are_left() {
    let mut values: Vec<f64> = (0..24).map(|i| f64::from(i * 7 % 24) / 30.0).collect();
    values[3] = f64::NAN;
    let svg = drawn(TrialPicture::Importances, &ShownColumns::default(), &values).unwrap();
    assert!(svg.contains("activation") && svg.contains("lr_rate_mult") && !svg.contains("NaN"), "{svg}");
    assert_eq!(Ok(svg), drawn(TrialPicture::Importances, &ShownColumns::default(), &values));
    let trimmed = ShownColumns { trims: vec!["activation=elu".parse().unwrap()], ..ShownColumns::default() };
    let svg = drawn(TrialPicture::Importances, &trimmed, &values).unwrap();
    assert!(svg.contains("12 of 24 trials are trimmed (activation=elu)"), "{svg}");
    // The best tenth of ten trials is one trial.
    let error = drawn(TrialPicture::Importances, &ShownColumns::default(), &values[4..14]).unwrap_err();
    assert_eq!(error, "importances need at least 11 trials with a score, and 10 have one");
}

#[test]
fn nothing_is_called_important_if_there_are_too_few_trials() {
    let note = |n: usize| {
        let trials: Vec<_> = (0..n).map(|i| Trial::completed((i * 7 % 31) as f64 / 40.0)).collect();
        let (store, study) = Builder::new().search("search", &trials).done();
        let rows = trials::table(&store, &study).unwrap();
        // It has room for one of the two hyperparameters.
        draw(TrialPicture::Histograms, &store, &study, &rows, &ShownColumns::default()).unwrap().note
    };
    assert!(note(10).contains("With too few trials for importances, the first hyperparameters by name are shown."));
    assert!(note(12).contains("The most important hyperparameters are shown."));
}

#[test]
fn the_scale_of_a_hyperparameter_is_the_declared_one() {
    // The rates are 1, 1.25, .. 2, which is no reason for a logarithmic scale, but the space says `loguniform`.
    let (store, study) = Builder::new().search("search", &[0.3, 0.1, 0.5, 0.2, 0.6].map(Trial::completed)).done();
    let rows = trials::table(&store, &study).unwrap();
    let column = |declared| Table::new(&rows, &[], declared).unwrap().column("lr_rate_mult").unwrap();
    let middle = |column: table::PlottedColumn| column.axis.value_at(0.5).unwrap();
    assert!((middle(column(declared::Declared::of(&store, &study, "search"))) - 2.0_f64.sqrt()).abs() < 1e-9);
    assert!((middle(column(declared::Declared::default())) - 1.5).abs() < 1e-9);
}

#[test]
fn marks_and_lines_say_which_trials_they_are_of() {
    let values = [0.3, 0.1, f64::NAN, 0.5, 0.2, 0.6];
    let svg = |kind| drawn(kind, &ShownColumns::default(), &values).unwrap();
    let parallel = svg(TrialPicture::Parallel);
    assert!(!parallel.contains("data-trial=\"search/2\""), "a trial without a result has no line");
    for trial in [0, 1, 3, 4, 5] {
        assert_eq!(parallel.matches(&format!("data-trial=\"search/{trial}\"")).count(), 1, "{parallel}");
    }
    assert_eq!(
        parallel.matches("class=\"frame across\" data-name=").count(),
        3,
        "two hyperparameters and the objective"
    );
    // A path of marks has a move for each of its trials.
    for kind in [TrialPicture::ScatterMatrix, TrialPicture::Slice, TrialPicture::Rank, TrialPicture::Scatter3d] {
        let svg = svg(kind);
        let paths: Vec<_> = svg.split("data-search=\"search\" data-trials=\"").skip(1).collect();
        assert!(!paths.is_empty(), "{kind:?}");
        for path in paths {
            let (trials, rest) = path.split_once('"').unwrap();
            let outline = rest.split("d=\"").nth(1).unwrap().split('"').next().unwrap();
            assert_eq!(trials.split(' ').count(), outline.matches('M').count(), "{kind:?}: {trials}: {outline}");
        }
    }
    let history = svg(TrialPicture::History);
    // The one without a result is a cross.
    assert!(history.contains("class=\"cross\" data-trial=\"search/2\"") && history.contains("r=\"3.5\""), "{history}");
}

#[test]
fn a_step_of_a_single_number_is_no_range() {
    let ranks = drawn(TrialPicture::Rank, &ShownColumns::default(), &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]).unwrap();
    assert!(ranks.contains(">1 – 2<") && ranks.contains(">3<") && !ranks.contains(">3 – 3<"), "{ranks}");
}

#[test]
fn the_best_so_far_rises_in_steps() {
    let svg = drawn(TrialPicture::Convergence, &ShownColumns::default(), &[0.1, 0.1, 0.5]).unwrap();
    let line = svg.split("path class=\"line strong\"").nth(1).unwrap().split(" d=\"").nth(1).unwrap();
    let line = line.split('"').next().unwrap();
    let places: Vec<(&str, &str)> =
        line.split(['M', 'L']).skip(1).map(|place| place.split_once(' ').unwrap()).collect();
    assert_eq!((places.len(), places[0].1, places[2].0), (4, places[2].1, places[3].0), "{line}");
}

#[test]
fn a_chart_says_its_axes_for_the_script() {
    let svg = drawn(TrialPicture::History, &ShownColumns::default(), &[0.1, 0.3]).unwrap();
    let of = |name: &str| svg.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
    assert_eq!((of("data-x"), of("data-y")), ("78 658 0 1", "264 32 0.1 0.3"));
    assert_eq!(
        (of("data-frame"), of("data-axes")),
        ("70 32 666 264", "trial (number)|valid.fine_accuracy (share of images)")
    );
}
