//! Checks whether the studies on pages, whole or in parts, are accepted.

use crate::sandbox::Sandbox;

/// Whether a study should be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Accepted,
    Refused,
}

/// Plans a study. Returns a problem if it is not `expected`.
pub(crate) fn plan(study: &str, expected: Expected) -> Vec<String> {
    let sandbox = Sandbox::with(study);
    // What the pages take from this disk.
    std::fs::create_dir(sandbox.path("pictures")).unwrap();
    sandbox.write("labels.csv", "image,label\n");
    std::fs::create_dir(sandbox.path("src")).unwrap();
    ["points.py", "train.py", "src/split.py", "uv.lock"].iter().for_each(|file| sandbox.write(file, ""));
    let output = sandbox.pipe("run --plan");
    // Nothing has been run, so an accepted study would run.
    let code = if expected == Expected::Accepted { 10 } else { 2 };
    if output.code == Some(code) { Vec::new() } else { vec![format!("{study}\n{}", output.err)] }
}

/// The stages that a part of a study may read from.
const STAGES: &[(&str, &str)] = &[
    ("raw", r#"Fetch(Embedded(name: "shapes100", train: 400, test: 200))"#),
    ("data", r#"Decode(from: "raw", format: Cifar100)"#),
    ("flip", r#"Augment(data: "data", policy: [RandomFlip(0.5)])"#),
    (
        "search",
        r#"Search(trials: 3, maximise: Best("valid.fine_accuracy"), space: {"lr_rate_mult": loguniform(-0.5, 0.5)},
            trial: Train(data: "data", augment: "flip", model: HyperCnn, epochs: 1))"#,
    ),
    ("retrain_best", r#"Retrain(of: "search", epochs: 2)"#),
];

/// Plans a study with the stages of `part` and the stages that they read from.
pub(crate) fn stages(part: &str) -> Vec<String> {
    let mut text = format!("{},\n", part.trim_end().trim_end_matches(','));
    // Later stages read from earlier ones.
    for (name, stage) in STAGES.iter().rev() {
        if text.contains(&format!("\"{name}\"")) && !part.contains(&format!("(\"{name}\", ")) {
            text += &format!("(\"{name}\", {stage}),\n");
        }
    }
    plan(&format!("Study(name: \"part\", stages: [\n{text}])"), Expected::Accepted)
}

/// Plans a search with these fields, and with the required ones that are not among them.
pub(crate) fn search(fields: &str) -> Vec<String> {
    let sizes_itself = ["Grid", "Hyperband", "SuccessiveHalving"].iter().any(|sampler| fields.contains(sampler));
    let needed = [
        ("trials", "10", !sizes_itself),
        ("maximise", "Best(\"valid.fine_accuracy\")", !has_field(fields, "minimise")),
        (
            "space",
            "{\"lr_rate_mult\": FloatRange(lo: 0.5, hi: 2, step: 0.5), \"optimizer\": Choice([\"Adam\", \"SGD\"])}",
            true,
        ),
        ("trial", "Train(data: \"data\", augment: \"flip\", model: HyperCnn, epochs: 27)", true),
    ];
    let missing = needed.iter().filter(|(name, _, is_needed)| *is_needed && !has_field(fields, name));
    let missing: String = missing.map(|(name, value, _)| format!("{name}: {value},\n")).collect();
    stages(&format!("(\"search\", Search(\n{missing}{fields}))"))
}

/// Plans a training with these fields, and with the required ones that are not among them.
pub(crate) fn train(fields: &str) -> Vec<String> {
    let needed = [("data", "\"data\""), ("model", "HyperCnn"), ("epochs", "1")];
    let missing = needed.iter().filter(|(name, _)| !has_field(fields, name));
    let missing: String = missing.map(|(name, value)| format!("{name}: {value},\n")).collect();
    stages(&format!("(\"net\", Train(\n{missing}{fields}))"))
}

/// Returns whether a line begins with the field.
fn has_field(fields: &str, name: &str) -> bool {
    fields.lines().any(|line| line.trim_start().starts_with(&format!("{name}:")))
}
