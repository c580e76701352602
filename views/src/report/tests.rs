//! Tests of pages, with made-up studies.

use pipe_stages::{
    StageName,
    params::Float,
    records::{Example, ExamplesRecord, FilterExamples, LayerExamples, Proposal, Version},
    stage::Outputs,
    visualize_filters::{FiltersRecord, Fourier, LayerFilters, Method},
};
use serde_json::json;

use super::*;
use crate::testing::{Builder, Trial, filters, png};

fn page(builder: Builder) -> String {
    let (store, study) = builder.done();
    html(&store, &Found { name: Some("shapes".into()), hash: study.hash(), study, open: None }).unwrap()
}

fn titles(page: &str) -> Vec<&str> {
    page.split("<h2>").skip(1).map(|rest| rest.split("</h2>").next().unwrap()).collect()
}

#[test]
fn a_whole_study_has_all_sections_and_loads_nothing() {
    let page = page(Builder::whole(10));
    let expected = [
        "Summary",
        "Pipeline",
        "Evaluation",
        "Search",
        "Hyperparameters",
        "Learning curves",
        "Data",
        "Filters",
        "Architecture",
        "Keys",
    ];
    assert_eq!(titles(&page), expected);
    for part in [
        "<div class=\"value\">40.20\u{a0}%</div><div class=\"note\">95 % interval 36.00 to 44.50\u{a0}%; chance 1.00\u{a0}%; balanced accuracy 38.50\u{a0}%; macro F1 0.372; top-5 accuracy 70.00\u{a0}%; 500 images</div>",
        "(&quot;flip&quot;, Augment(data: &quot;data&quot;, policy: [RandomFlip(0.5)])),\n",
        "★ ",
        "Tpe from here",
        "best so far",
        "data:image/png;base64,",
        "1 dead filter".replace('1', "3").as_str(),
        "Trials are chosen on the validation split only. Only the evaluation reads the test split.",
    ] {
        assert!(page.contains(part), "no `{part}`");
    }
    assert_eq!(page.matches("<script>").count(), 1, "the only script is in the page");
    // A part of a chart is cut out by a shape of the page itself.
    let page = page.replace("url(#", "");
    for part in ["<script ", "fetch(", "import(", "http:", "https:", "<link", "@import", "url("] {
        assert!(!page.contains(part), "`{part}` in the page");
    }
}

#[test]
fn the_same_study_gives_the_same_page() {
    assert_eq!(page(Builder::whole(5)), page(Builder::whole(5)));
}

#[test]
fn sections_without_content_are_left_out() {
    assert_eq!(titles(&page(Builder::new())), ["Summary", "Pipeline", "Keys"]);
    let searched = page(Builder::new().search("search", &[Trial::completed(0.3)]));
    assert_eq!(titles(&searched), ["Summary", "Pipeline", "Search", "Learning curves", "Architecture", "Keys"]);
    assert!(searched.contains("Nothing has been measured on the test split."));
}

#[test]
fn promotions_are_counted_with_their_search() {
    let trials = [Trial::completed(0.3), Trial::completed(0.4), Trial::completed(0.5)];
    let mut builder = Builder::new().halving("search", &trials);
    // Promotions are not searched for pictures, even if they have one.
    let promotion = Outputs::default().with_record(&Proposal::default()).with("picture.png", png(8, 8, 1));
    builder.inject("search/promote/002", StageName::Promote, &promotion);
    builder.nodes.get_mut("search/promote/002").unwrap().part_of = "search".to_owned();
    let page = page(builder);
    assert!(page.contains("<div class=\"note\">3 trainings</div>"), "{page}");
    assert!(!titles(&page).contains(&"Other pictures"));
    assert_eq!(crate::text::works(StageName::Promote.as_str(), 2), "2 promotions");
}

#[test]
fn failed_nodes_are_shown_in_the_summary() {
    let mut builder = Builder::new().search("search", &[Trial::completed(0.3), Trial::completed(0.4)]);
    builder.outcome("search/train/000", Outcome::Failure("images <too> small".into()));
    let page = page(builder);
    assert!(page.contains("This study is not complete: 1 node without outputs."));
    assert!(page.contains("images &lt;too&gt; small") && !page.contains("<too>"));
}

#[test]
fn a_search_without_a_result_still_has_a_page() {
    let page = page(Builder::new().search("search", &[Trial::diverged(), Trial::diverged()]));
    assert!(page.contains("0 of 2 trials completed"));
}

#[test]
fn without_a_test_split_the_page_says_so() {
    let mut builder = Builder::whole(4);
    builder.stage("data", json!({ "Decode": { "from": "raw", "format": "Cifar100", "validation": "OfficialTest" } }));
    assert!(page(builder).contains("There is no test split: data uses the official test images for validation"));
}

#[test]
fn pictures_beyond_the_budget_are_named_instead() {
    let mut builder = Builder::new();
    let sheets = Outputs::default().with("a.png", png(1700, 1700, 1)).with("b.png", png(34, 34, 2));
    builder.inject("sheets", StageName::VisualizeFilters, &sheets);
    let page = page(builder);
    assert!(page.contains("pipe export sheets/a.png") && page.contains("alt=\"sheets: b\""));
}

#[test]
fn sheets_of_filters_and_of_examples_are_shown_with_their_counts() {
    let example =
        |image| Example { image, activation: Float(0.5), labels: [("fine".to_owned(), "a".to_owned())].into() };
    let examples = LayerExamples {
        layer: "add_1".to_owned(),
        sheet: "add_1_examples.png".to_owned(),
        filters: vec![FilterExamples { filter: 3, images: vec![example(7), example(2)] }],
    };
    let examples = ExamplesRecord { format: Version, images: 4000, layers: vec![examples] };
    let filters = FiltersRecord { method: Method::Fourier(Fourier::default()), ..filters(4, 3, 1) };
    let outputs = Outputs::default()
        .with_record(&filters)
        .with_record(&examples)
        .with("add_1_fourier_filters_1_(1x1)_out_of_4.png", png(32, 32, 3))
        .with("add_1_examples.png", png(110, 36, 2));
    let mut builder = Builder::new();
    builder.inject("sheets", StageName::VisualizeFilters, &outputs);
    let page = page(builder);
    for part in [
        "gradient ascent in a Fourier basis, with decorrelated colours, jitter and a weight on total variation. 3 dead",
        "each with the 2 of the 4,000 validation images with its highest mean activations",
        "add_1_examples: a filter, and what excites it most</figcaption>",
        "add_1_fourier_filters_1_(1x1)_out_of_4</figcaption>",
    ] {
        assert!(page.contains(part), "no `{part}`");
    }
}

#[test]
fn filters_take_precedence_over_examples_within_the_budget() {
    let sheets = Outputs::default().with("a_examples.png", png(700, 500, 1)).with("b_filters.png", png(600, 600, 2));
    let mut builder = Builder::new();
    builder.inject("sheets", StageName::VisualizeFilters, &sheets);
    let page = page(builder);
    assert!(page.contains("pipe export sheets/a_examples.png") && page.contains("alt=\"sheets: b_filters\""));
}

#[test]
fn equal_pictures_are_embedded_once_in_the_order_of_their_numbers() {
    let mut builder = Builder::new();
    let sheets = (8..12).fold(Outputs::default(), |outputs, i| outputs.with(format!("sheet_{i}.png"), png(8, 8, i)));
    builder.inject("sheets", StageName::Decode, &sheets.with("twin.png", png(8, 8, 9)));
    let page = page(builder);
    let captions: Vec<_> = page.split("<figcaption>").skip(1).map(|rest| rest.split("</").next().unwrap()).collect();
    let expected = ["sheet_8", "sheet_9", "sheet_10", "sheet_11", "twin: the same picture as sheets/sheet_9.png"];
    assert_eq!(captions, expected);
    assert_eq!((page.matches("data:image/png").count(), page.matches("loading=\"lazy\"").count()), (4, 4));
}

#[test]
fn the_first_the_middle_and_the_last_layer_come_first_and_the_others_are_folded() {
    let sheet = |i: usize| LayerFilters {
        layer: format!("conv_{i}"),
        sheet: Some(format!("conv_{i}.png")),
        ..filters(4, 0, 4).layers.remove(0)
    };
    let record = FiltersRecord { layers: (1..=11).map(sheet).collect(), ..filters(4, 0, 4) };
    let sheets = (1..=11).fold(Outputs::default().with_record(&record), |outputs, i| {
        outputs.with(format!("conv_{i}.png"), png(8, 8, i))
    });
    let mut builder = Builder::new();
    builder.inject("sheets", StageName::VisualizeFilters, &sheets);
    let page = page(builder);
    let captions: Vec<_> = page.split("<figcaption>").skip(1).map(|rest| rest.split("</").next().unwrap()).collect();
    assert_eq!(captions[..5], ["conv_1", "conv_6", "conv_11", "conv_2", "conv_3"]);
    assert!(page.contains("<summary>8 more sheets</summary>"));
}

#[test]
fn the_images_of_an_evaluation_are_embedded_once() {
    let page = page(Builder::whole(4));
    for part in [
        "Most confused",
        "Expected calibration error ",
        "The predicted fine class lies within the predicted coarse class for ",
        "Worst mistakes",
        "Least sure",
        "<summary>The same for head coarse, 20 classes</summary>",
        "<summary>Precision, recall and F1 of all 100 classes, the lowest F1 first</summary>",
    ] {
        assert!(page.contains(part), "no `{part}`");
    }
    // There are 20 images, and both heads show them.
    assert_eq!(page.matches("<symbol id=\"image-test-").count(), 20);
    assert!(page.matches("<use href=\"#image-test-").count() > 40);
}

#[test]
fn without_its_images_an_evaluation_still_has_its_figures() {
    let mut builder = Builder::whole(4);
    let node = builder.nodes["test"].clone();
    builder.nodes.insert("test".into(), StudyNode { action: None, ..node });
    let page = page(builder);
    assert!(page.contains("Most confused") && !page.contains("<symbol"));
    assert!(page.contains("The images of the test split are no longer in this store, so none is shown."));
}

#[test]
fn the_metrics_of_programs_are_rows_with_their_mean() {
    let mut builder = Builder::new();
    for (k, accuracy) in [0.5, 0.75, 0.25].into_iter().enumerate() {
        let name = format!("fold/{k}");
        builder.stage(&name, json!({ "Command": { "run": ["./fold"], "metrics": ["m.json"], "final": k == 1 } }));
        let record = json!({ "accuracy": accuracy, "by": { "n": 10 } }).to_string();
        builder.inject(&name, StageName::Command, &Outputs::default().with("m.json", record.into_bytes()));
    }
    let page = page(builder);
    assert_eq!(titles(&page), ["Summary", "Pipeline", "Metrics", "Keys"]);
    assert!(
        page.contains("<th scope=\"row\">fold/0</th><td class=\"number\">0.5</td><td class=\"number\">10</td>"),
        "{page}"
    );
    assert!(page.contains("fold/1 <span class=\"tag\">final: may read held-out data</span>"));
    assert!(page.contains("<td class=\"number\">0.5 ± 0.25</td><td class=\"number\">10 ± 0</td>"));
}

#[test]
fn stages_come_after_the_stages_they_read() {
    let (store, study) = Builder::whole(4).done();
    let pipeline = study.read_pipeline(&store).unwrap();
    let names: Vec<_> = pipeline.stages.in_order().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["raw", "data", "flip", "search", "retrain_best", "test", "visualize_filters"]);
}

#[test]
fn a_string_like_the_name_of_a_stage_is_not_a_dependency() {
    let mut builder = Builder::new();
    // If `the_archive` were taken to read `shapes100`, there would be a cycle, and `shapes100` would come first.
    builder.stage("the_archive", json!({ "Fetch": { "Embedded": { "name": "shapes100", "train": 200, "test": 20 } } }));
    builder.stage("shapes100", json!({ "Decode": { "from": "the_archive", "format": "Cifar100" } }));
    let (store, study) = builder.done();
    let pipeline = study.read_pipeline(&store).unwrap();
    let names: Vec<_> = pipeline.stages.in_order().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["the_archive", "shapes100"]);
}

#[test]
fn the_first_trial_that_a_model_proposes_is_marked() {
    let mark = |sampler: Value, trials: usize| {
        let mut builder = Builder::whole(trials);
        builder.pipeline["stages"]["search"]["Search"]["sampler"] = sampler;
        let page = page(builder);
        let (before, _) = page.split_once(" from here")?;
        Some(before.rsplit('>').next().unwrap().to_owned())
    };
    let check = |sampler: Value, trials, expected: Option<&str>| {
        assert_eq!(mark(sampler.clone(), trials).as_deref(), expected, "{sampler}, {trials} trials");
    };
    // The default of both is ten trials from the prior.
    for (sampler, short) in [
        ("Tpe", json!({ "Tpe": { "startup": 4 } })),
        ("GaussianProcess", json!({ "GaussianProcess": { "startup": 4 } })),
    ] {
        check(sampler.into(), 10, None);
        check(sampler.into(), 11, Some(sampler));
        check(short.clone(), 4, None);
        check(short, 5, Some(sampler));
    }
    check(json!({ "Tpe": { "startup": 0 } }), 5, None);
    check("Random".into(), 12, None);
}

#[test]
fn the_pictures_of_a_trial_are_of_that_trial() {
    let mut builder = Builder::new().search("search", &[Trial::completed(0.3)]);
    let picture = Outputs::default().with("picture.png", png(8, 8, 1));
    builder.inject("search/command/000", StageName::Command, &picture);
    builder.nodes.get_mut("search/command/000").unwrap().part_of = "search".to_owned();
    builder.inject("sheets", StageName::VisualizeFilters, &Outputs::default().with("a.png", png(8, 8, 2)));
    let page = page(builder);
    assert!(page.contains("<div data-trial=\"search/0\"><h3>search/command/000</h3>"), "{page}");
    assert!(page.contains("<div><h3>sheets</h3>"), "{page}");
    // The row of the trial and its curves lead there.
    assert!(page.matches("data-trial=\"search/0\"").count() > 2);
}

#[test]
fn a_long_name_of_a_class_is_broken_after_a_slash() {
    assert!(page(Builder::whole(4)).contains("/<wbr>"));
}
