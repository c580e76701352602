//! The pipelines that are measured.

/// The default study.
pub(crate) const DEFAULT: &str = include_str!("../../pipeline.ron");

/// Returns a study of `trials` trials with the space of the default study. The mode of TPE is `Hyperopt`, because the
/// proposals would take 90 seconds in the other.
pub(crate) fn of_trials(trials: usize, seed: u64) -> String {
    let space = DEFAULT.split_once("space: {").and_then(|(_, rest)| rest.split_once("\n            },"));
    let space = space.expect("the default study has a space").0;
    format!(
        r#"Study(name: "many", seed: {seed}, stages: [
            {TINY_DATA}
            ("search", Search(
                trials: {trials}, sampler: Tpe(mode: Hyperopt), maximise: Best("valid.fine_accuracy"), space: {{{space} }},
                trial: Train(data: "data", model: HyperCnn(), epochs: 4),
            )),
        ])"#
    )
}

/// Returns a study of `n` augmentations, which are light. Other seeds give other augmentations.
pub(crate) fn of_augmentations(n: usize, seed: u64) -> String {
    let stage = |i: usize| {
        let p = ((i + 1) as f64 + seed as f64 * 1e-6) / (n + 2) as f64;
        format!("(\"flip{i}\", Augment(data: \"data\", policy: [RandomFlip({p})])),\n")
    };
    let stages: String = (0..n).map(stage).collect();
    format!("Study(name: \"light\", stages: [{TINY_DATA}\n{stages}])")
}

/// Returns a study of `n` trainings of one step each. Other seeds give other trainings.
pub(crate) fn of_trainings(n: usize, seed: u64) -> String {
    let stage = |i: usize| {
        let rate = 1e-4 * (i + 1) as f64 + 1e-9 * seed as f64;
        format!(
            "(\"train{i}\", Train(data: \"data\", model: HyperCnn(base_filters: 4, first_conv_filters: 4, fc_units: (8, 8)), \
             batch: 200, epochs: 1, learning_rate: {rate})),\n"
        )
    };
    let stages: String = (0..n).map(stage).collect();
    format!("Study(name: \"trainings\", stages: [{TINY_DATA}\n{stages}])")
}

/// The smallest data set for a training.
const TINY_DATA: &str = r#"
            ("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 100))),
            ("data", Decode(from: "raw", format: Cifar100, validation: Stratified(0.2))),"#;
