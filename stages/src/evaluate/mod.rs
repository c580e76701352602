//! `evaluate`: evaluates a trained network on a split that it was not trained on. No other stage reads the test split.

pub use crate::records::EvaluateOn;
use crate::{
    device::DeviceKind,
    images::{
        Policy,
        dataset::{Dataset, Labels},
    },
    network::{
        Architecture, Mode, Predictor,
        architecture::Head,
        training::{
            data::{checked, heads, plain_batch},
            loss::{self, Criterion},
            tally::Tally,
            trainer::EVALUATION_BATCH,
        },
    },
    parameters,
    params::{Domain, Float},
    problem::{Path, Problem},
    records::{ClassFigures, Evaluation, HeadEvaluation, HeadPrediction, Predictions, TopAccuracies, Version},
    stage::{Context, Inputs, Needs, Outputs, Progress, Stage, StageError, StageId},
};

parameters! {
    /// Evaluates a network: losses, accuracies with confidence intervals, and every prediction.
    #[derive(Eq)]
    pub struct Evaluate = defaults where names_each_once {
        /// The split to evaluate on.
        split: EvaluateOn = EvaluateOn::Test,
        /// The numbers k whose top-k accuracy is measured, for heads with more classes than k. Defaults to 5, for heads with at least
        /// ten classes.
        top: Option<Vec<u32>> [Domain::Whole(1..=1_000_000)],
    }
}

/// Heads with at least this many classes get a top-5 accuracy, unless other numbers are given.
const TOP_5_FROM: usize = 10;

impl Evaluate {
    fn names_each_once(self, at: &Path, problems: &mut Vec<Problem>) -> Self {
        let top = self.top.as_deref().unwrap_or_default();
        for (i, k) in top.iter().enumerate().filter(|(i, k)| top[..*i].contains(k)) {
            problems.push(Problem::new(at.name("top").index(i), format!("`{k}` is listed twice")));
        }
        self
    }

    /// Returns the numbers k whose top-k accuracy is measured for a head with `classes` classes.
    fn top_of(&self, classes: usize) -> Vec<u32> {
        match &self.top {
            Some(top) => top.iter().copied().filter(|&k| (k as usize) < classes).collect(),
            None if classes >= TOP_5_FROM => vec![5],
            None => Vec::new(),
        }
    }
}

impl Stage for Evaluate {
    fn id(&self) -> StageId {
        StageId { name: "evaluate", version: 2 }
    }

    fn needs(&self) -> Needs {
        Needs { device: true, ..Needs::default() }
    }

    fn memory(&self, inputs: &Inputs<'_>) -> Result<u64, StageError> {
        let architecture: Architecture = inputs.record("architecture")?;
        // No outputs are kept for a backward pass.
        Ok((64 << 20) + architecture.memory(EVALUATION_BATCH as u64 / 3))
    }

    fn run(&self, inputs: &Inputs<'_>, context: &Context<'_>) -> Result<Outputs, StageError> {
        let labels: Labels = inputs.record("labels")?;
        let policy = Policy::of_inputs(inputs, labels.image)?;
        let data = checked(Dataset::read(inputs.bytes("data")?)?, "data", &labels)?;
        if data.is_empty() {
            return Err(StageError::failed("there are no images to evaluate on"));
        }
        let predictor = Predictor::load(inputs.record("architecture")?, inputs.bytes("weights")?, context.device)?;
        fits(predictor.architecture(), &labels)?;
        let heads = &predictor.architecture().heads;
        let mut network = predictor.of_heads();
        let batch_size = batch(context.device.kind);
        let mut logits = vec![Vec::new(); heads.len()];
        for from in (0..data.len()).step_by(batch_size) {
            if context.host.interrupted() {
                return Err(StageError::Interrupted);
            }
            let batch = plain_batch(&data, &policy, heads, from, (from + batch_size).min(data.len()));
            let mut of_batch = network.forward(&batch.images, Mode::Inference).outputs;
            for (logits, head) in logits.iter_mut().zip(heads) {
                logits.append(of_batch.get_mut(&head.name).expect("the network has logits for each head"));
            }
            let done = (from + batch.n) as u64;
            context.host.progress(&Progress {
                done,
                total: data.len() as u64,
                unit: "images".into(),
                ..Progress::default()
            });
        }
        let mut judged = Vec::new();
        for ((head, logits), names) in heads.iter().zip(&logits).zip(&labels.heads) {
            let labels = data.labels(&head.name)?;
            judged.push(Judged { head, names: &names.classes, logits, labels });
        }
        let of_heads = judged.iter().map(|judged| (judged.head.name.clone(), judged.figures(self))).collect();
        let record = Evaluation { format: Version, split: self.split, n: data.len(), heads: of_heads };
        Ok(Outputs::default().with_record(&record).with(Predictions::FILE, predictions(&judged).write()))
    }
}

/// Returns the number of images that are evaluated together.
fn batch(device: DeviceKind) -> usize {
    match device {
        DeviceKind::Cpu => EVALUATION_BATCH,
        // A card has more to do at once.
        DeviceKind::Cuda | DeviceKind::Wgpu => 4 * EVALUATION_BATCH,
    }
}

/// Checks that the network takes images of this shape and has these heads.
fn fits(architecture: &Architecture, labels: &Labels) -> Result<(), StageError> {
    let shape = [labels.image.channels, labels.image.height, labels.image.width];
    if architecture.input != shape {
        let found = architecture.input;
        return Err(StageError::failed(format!(
            "the network takes images of shape {found:?}, but the data have {shape:?}"
        )));
    }
    let names = |heads: &[Head]| heads.iter().map(|head| (head.name.clone(), head.classes)).collect::<Vec<_>>();
    let expected = names(&heads(labels, Default::default()));
    if names(&architecture.heads) != expected {
        let found = names(&architecture.heads);
        return Err(StageError::failed(format!("the network has the heads {found:?}, but the data have {expected:?}")));
    }
    Ok(())
}

/// The logits of one head, `[n, classes]`, and the labels, `[n]`.
struct Judged<'a> {
    head: &'a Head,
    names: &'a [String],
    logits: &'a [f32],
    labels: &'a [i32],
}

impl Judged<'_> {
    fn figures(&self, evaluate: &Evaluate) -> HeadEvaluation {
        let n = self.labels.len() as u64;
        let mut tally = Tally::new(self.head.classes);
        tally.add(self.logits, self.labels);
        let score = loss::score(Criterion::default(), self.head.output, self.logits, self.labels, self.head.classes);
        let top = evaluate.top_of(self.head.classes).into_iter().map(|k| (k, tally.top_accuracy(k)));
        HeadEvaluation {
            loss: Float(score.loss / n as f64),
            accuracy: score.correct as f64 / n as f64,
            correct: score.correct,
            interval_95: wilson(score.correct, n).into(),
            chance: 1.0 / self.head.classes as f64,
            balanced_accuracy: Some(tally.balanced_accuracy()),
            macro_f1: Some(tally.macro_f1()),
            classes: self.classes(&tally),
            top: TopAccuracies(top.collect()),
        }
    }

    fn classes(&self, tally: &Tally) -> Vec<ClassFigures> {
        let class = |(name, (n, correct)): (&String, (u64, u64))| ClassFigures {
            name: name.clone(),
            n,
            accuracy: (n > 0).then(|| correct as f64 / n as f64),
        };
        self.names.iter().zip(tally.by_class()).map(class).collect()
    }
}

/// Returns the 95 % confidence interval of the probability of a hit, given `hits` out of `n` (E. B. Wilson, "Probable
/// inference, the law of succession, and statistical inference", 1927).
fn wilson(hits: u64, n: u64) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    let (n, share) = (n as f64, hits as f64 / n as f64);
    let scale = 1.0 + Z * Z / n;
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * libm::sqrt(share * (1.0 - share) / n + Z * Z / (4.0 * n * n));
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

/// Returns the prediction of each head for each image.
fn predictions(judged: &[Judged<'_>]) -> Predictions {
    let of_head = |image: usize, Judged { head, logits, labels, .. }: &Judged<'_>| {
        let row = &logits[image * head.classes..][..head.classes];
        let prediction = loss::largest(row);
        let probability = loss::probabilities(head.output, row, head.classes)[prediction];
        HeadPrediction { label: labels[image], prediction, probability }
    };
    let n = judged.first().map_or(0, |judged| judged.labels.len());
    let of_image = |image| judged.iter().map(|judged| of_head(image, judged)).collect();
    Predictions {
        heads: judged.iter().map(|judged| judged.head.name.clone()).collect(),
        images: (0..n).map(of_image).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pipe_store::MemoryObjects;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        images::dataset::{self, ImageShape},
        network::{Builder, Weights, architecture::Output, layers::Flatten},
        params,
        stage::{ComputeDevice, QuietHost},
    };

    #[test]
    fn intervals_agree_with_published_ones() {
        // Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
        for (hits, n, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let found = wilson(hits, n);
            assert!((found.0 - low).abs() < 5e-5 && (found.1 - high).abs() < 5e-5, "{found:?}");
        }
    }

    /// Evaluates a network whose logits are the pixels. It has 10 classes, and images are one row of 10 pixels.
    fn evaluate(evaluate: &Evaluate, pixels: &[[u8; 10]], labels: &[i32]) -> Result<Outputs, StageError> {
        let shape = ImageShape { channels: 1, height: 1, width: 10 };
        let mut builder = Builder::new([1, 1, 10]);
        let flat = builder.add(Flatten, &["input"]);
        let head = Head { name: "class".into(), classes: 10, output: Output::Softmax };
        let architecture = builder.finish(&flat, &[head]).unwrap();
        let mut weights = Weights::initial(&architecture, 0);
        let identity = (0..100).map(|i| f32::from(u8::from(i % 11 == 0))).collect();
        weights.0.get_mut("class.kernel").unwrap().values = identity;
        let names: Vec<_> = (0..10).map(|i| format!("c{i}")).collect();
        let mut objects = MemoryObjects::default();
        let slots: BTreeMap<_, _> = [
            ("data", dataset::write(shape, pixels.concat(), &[("class", labels)])),
            (
                "labels",
                params::record(
                    &json!({ "format": 1, "heads": [{ "name": "class", "classes": names }], "image": shape }),
                ),
            ),
            (
                "policy",
                params::record(&json!({ "format": 1, "normalise": { "scale": [1.0], "offset": [0.0] }, "policy": [] })),
            ),
            ("architecture", params::record(&architecture)),
            ("weights", weights.write()),
        ]
        .into_iter()
        .map(|(slot, bytes)| (slot.to_owned(), objects.put(bytes)))
        .collect();
        let context = Context { seed: 0, device: ComputeDevice::CPU, host: &QuietHost };
        evaluate.run(&Inputs::new(&slots, &objects), &context)
    }

    #[test]
    fn figures_follow_from_the_logits() {
        let rising = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let images = [rising, rising, rising, [0; 10]];
        let outputs = evaluate(&Evaluate::default(), &images, &[9, 5, 4, 0]).unwrap();
        let record: Value = serde_json::from_slice(&outputs.files()["evaluation.json"]).unwrap();
        let class = &record["heads"]["class"];
        assert_eq!((&record["n"], &record["split"]), (&json!(4), &json!("Test")));
        assert_eq!(
            (&class["accuracy"], &class["top_5_accuracy"], &class["chance"]),
            (&json!(0.5), &json!(0.75), &json!(0.1))
        );
        assert_eq!(class["classes"][9], json!({ "name": "c9", "n": 1, "accuracy": 1.0 }));
        assert_eq!(class["classes"][1], json!({ "name": "c1", "n": 0, "accuracy": null }));
        let sum: f64 = (0..10).map(|i| f64::from(i).exp()).sum();
        let loss = (3.0 * sum.ln() - 9.0 - 5.0 - 4.0 + 10f64.ln()) / 4.0;
        assert!((class["loss"].as_f64().unwrap() - loss).abs() < 1e-12);
        // Classes 0 and 9 are right, and 4 and 5 are taken for 9: F1 is 1, 2 / (1 + 3), 0 and 0.
        assert_eq!((&class["balanced_accuracy"], &class["macro_f1"]), (&json!(0.5), &json!(0.375)));
        let other: Evaluate = params::read(&json!({ "top": [6, 1, 10] })).unwrap();
        let outputs_of_other = evaluate(&other, &images, &[9, 5, 4, 0]).unwrap();
        let record: Value = serde_json::from_slice(&outputs_of_other.files()["evaluation.json"]).unwrap();
        let class = record["heads"]["class"].as_object().unwrap();
        let top: Vec<_> = class.iter().filter(|(name, _)| name.starts_with("top_")).collect();
        assert_eq!(top, [(&"top_1_accuracy".to_owned(), &json!(0.5)), (&"top_6_accuracy".to_owned(), &json!(1.0))]);
        let csv = std::str::from_utf8(&outputs.files()["predictions.csv"]).unwrap();
        assert!(csv.starts_with("image,class_label,class_prediction,class_probability\n0,9,9,0.632"), "{csv}");
        assert!(csv.ends_with("\n3,0,0,0.100000\n"), "{csv}");
    }
}
