//! Tests of pages of two made-up studies.

use super::{sides::pairs, *};
use crate::testing::{Builder, Trial};

fn page(a: Builder, b: Builder) -> String {
    let [(store, a), (_, b)] = [a.done(), b.done()];
    let found =
        |study: pipe_engine::study::Study| Found { name: Some("shapes".into()), hash: study.hash(), study, open: None };
    html(&store, &found(a), &found(b)).unwrap()
}

fn titles(page: &str) -> Vec<&str> {
    page.split("<h2>").skip(1).map(|rest| rest.split("</h2>").next().unwrap()).collect()
}

/// Returns a study with four trials and one with six, whose test accuracy is another.
fn two() -> (Builder, Builder) {
    let builder = Builder::whole(4);
    let trials: Vec<_> =
        [0.1, 0.2, 0.3, 0.5, 0.55, 0.6].map(|value| Trial { epochs: 5, ..Trial::completed(value) }).into();
    let mut other = builder.clone().search("search", &trials);
    other.train("retrain_best", &[Trial { epochs: 20, ..Trial::completed(0.62) }]);
    other.evaluation_with(0.45, 4);
    (builder, other)
}

#[track_caller]
fn check(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "no `{part}` in\n{page}");
    }
}

#[test]
fn two_studies_are_side_by_side_and_nothing_is_loaded() {
    let (a, b) = two();
    let page = page(a.clone(), b.clone());
    assert_eq!(titles(&page), ["Results", "What differs", "Learning curves", "Searches", "Evaluation"]);
    check(
        &page,
        &[
            "<th scope=\"row\">best valid.fine_accuracy of search</th>",
            "<td class=\"number\">+4.80 points</td>",
            "<div class=\"note\">95 % interval 36.00 to 44.50\u{a0}%; chance 1.00\u{a0}%; 500 images</div>",
            // What differs: the inputs, and the hyperparameters of the best trials.
            "<th scope=\"row\">search.trials</th><td class=\"value\">4</td><td class=\"value\">6</td>",
            "<h3>Best trial of search: hyperparameters that differ</h3>",
            "<th scope=\"row\">lr_rate_mult</th>",
            "Inputs that differ\n  search.trial.",
            // Both curves are in one chart.
            "data-name=\"A, validation\"",
            "data-name=\"B, validation\"",
            "<h3>retrain_best</h3>",
            "<h3>best trial of search</h3>",
            "data-name=\"A, 4 trials\"",
            "data-name=\"B, 6 trials\"",
            // Matrices are subtracted.
            "are right only in A and",
            "by the exact test of McNemar",
            "Confusion matrix of fine in A minus that in B",
            "Precision, recall and F1 of all 100 classes, the most different F1 first",
            "aria-label=\"Confusion matrix of coarse",
        ],
    );
    assert_eq!(page.matches("<script>").count(), 1);
    for part in ["<script ", "fetch(", "import(", "http:", "https:", "<link", "@import"] {
        assert!(!page.contains(part), "`{part}` in the page");
    }
    assert_eq!(page, self::page(a, b), "the same studies give the same page");
}

#[test]
fn equal_studies_are_said_to_be_equal() {
    let builder = Builder::whole(4);
    let page = page(builder.clone(), builder);
    assert_eq!(titles(&page), ["Results"]);
    check(
        &page,
        &[
            "<strong>Nothing differs.</strong>",
            "Test accuracy of fine, by test",
            "<td class=\"number\">0.00 points</td>",
        ],
    );
}

#[test]
fn studies_without_trials_and_evaluations_have_a_page() {
    let empty = Builder::new();
    let page_of_data = page(empty.clone(), empty.with_data());
    assert_eq!(titles(&page_of_data), ["Results", "What differs"]);
    check(&page_of_data, &["Neither study has a result", "<th scope=\"row\">flip</th><td class=\"value\">absent</td>"]);
    // What only one of them has is shown, and said to be.
    let whole = Builder::whole(4);
    let mut data = whole.clone();
    for stage in ["search", "retrain_best", "test", "visualize_filters"] {
        data.nodes.retain(|_, node| node.part_of != stage);
        data.pipeline["stages"].as_object_mut().unwrap().remove(stage);
    }
    let page = page(data, whole);
    check(
        &page,
        &[
            "Only B has it.",
            "Only B has it, so there is nothing to compare it with.",
            "<span class=\"quiet\">none</span>",
        ],
    );
    assert!(!page.contains("minus that in B"));
}

#[test]
fn a_search_without_a_result_is_left_out() {
    let builder = Builder::new();
    let (a, b) =
        (builder.clone().search("search", &[Trial::diverged()]), builder.search("search", &[Trial::completed(0.5)]));
    let page = page(a, b);
    check(&page, &["data-name=\"B, 1 trial\""]);
    assert!(!page.contains("data-name=\"A, 1 trial"), "{page}");
}

#[test]
fn things_with_other_names_are_a_pair_if_there_is_one_of_each() {
    let of = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), ())).collect::<Vec<_>>();
    let titles = |a: &[&str], b: &[&str]| {
        let pairs = pairs([of(a), of(b)]);
        pairs.into_iter().map(|pair| (pair.title, pair.both.map(|side| side.is_some()))).collect::<Vec<_>>()
    };
    assert_eq!(titles(&["x"], &["y"]), [("x and y".to_owned(), [true, true])]);
    let expected = [("x", [true, false]), ("y", [true, true]), ("z", [false, true])];
    assert_eq!(titles(&["x", "y"], &["y", "z"]), expected.map(|(name, both)| (name.to_owned(), both)));
}
