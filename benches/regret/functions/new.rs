//! Functions that have what real searches have: siblings in a tree, branches that look bad at first, failures, ten dimensions, many
//! labels that do not matter, noise, and scales of many decades. All were written for this benchmark, except levy10 (Laguna and
//! Marti, "Experimental testing of advanced scatter search designs", 2005).

use std::f64::consts::PI;

use serde_json::{Map, Value, json};

use super::{Function, known, number, square};

/// Returns the functions, in the order of the table.
pub(super) fn all() -> Vec<Function> {
    let function = Function::new;
    let unit = |n: usize| (0..n).map(|i| (format!("x{i}"), json!({"uniform": [0, 1]}))).collect::<Value>();
    let noisy = known::all().into_iter().find(|function| function.name == "hartmann6").expect("it is there");
    vec![
        function("siblings", siblings_space(), siblings, 0.0),
        function("five_models", five_models_space(), five_models, 0.0),
        function("needle4", unit(4), needle4, 0.0),
        Function { fails: needle4_fails, ..function("needle4_fail", unit(4), needle4, 0.0) },
        Function { fails: memory_fails, ..function("memory", memory_space(), memory, 0.0) },
        function("levy10", (0..10).map(|i| (format!("x{i}"), json!({"uniform": [-10, 10]}))).collect(), levy10, 0.0),
        function("coupled10", unit(10), coupled10, 0.0),
        function("thirty4", thirty4_space(), thirty4, 0.0),
        Function { name: "hartmann6_noisy", noise: 0.3, ..noisy },
        function("wide_log", wide_log_space(), wide_log, 0.0),
    ]
}

/// Three choices side by side, each with labels of its own. The best optimizer looks worse than the others unless its learning
/// rate is close to the best.
fn siblings_space() -> Value {
    let log = |lo: f64, hi: f64| json!({"FloatRange": {"lo": lo, "hi": hi, "log": true}});
    let with = |kind: &str, labels: &[(&str, Value)]| {
        let labels = labels.iter().map(|(label, kind)| {
            let (_, key) = label.split_once('_').expect("a label is OPTION_KEY");
            (key.to_owned(), json!({"label": [label, kind]}))
        });
        labels.chain([("kind".to_owned(), json!(kind))]).collect::<Value>()
    };
    json!({
        "optimizer": {"choice": [
            with("sgd", &[("sgd_lr", log(1e-4, 1.0)), ("sgd_momentum", json!({"uniform": [0, 0.99]}))]),
            with("adam", &[("adam_lr", log(1e-5, 0.1)), ("adam_beta", json!({"uniform": [0.5, 0.999]}))]),
            with("lion", &[("lion_lr", log(1e-6, 0.01))]),
        ]},
        "schedule": {"choice": [
            "constant",
            with("step", &[("step_drop", json!({"uniform": [0.05, 0.9]}))]),
            with("cosine", &[("cosine_warmup", json!({"uniform": [0, 0.3]}))]),
        ]},
        "regulariser": {"choice": [
            "none",
            with("dropout", &[("dropout_rate", json!({"uniform": [0, 0.7]}))]),
            with("decay", &[("decay_weight", log(1e-6, 0.1))]),
        ]},
    })
}

fn siblings(p: &Map<String, Value>) -> f64 {
    let kind = |key: &str| p[key]["kind"].as_str().unwrap_or_default().to_owned();
    let of = |key: &str, label: &str| p[key][label].as_f64().expect("a number");
    let lg = |key: &str, label: &str| libm::log10(of(key, label));
    let optimizer = kind("optimizer");
    let lion = optimizer == "lion";
    let mut f = match optimizer.as_str() {
        "sgd" => {
            0.05 + 0.02 * square(lg("optimizer", "lr") + 1.2)
                + 0.1 * square(of("optimizer", "momentum") - 0.9 - 0.1 * lg("optimizer", "lr"))
        }
        "adam" => 0.04 + 0.012 * square(lg("optimizer", "lr") + 3.0) + 0.05 * square(of("optimizer", "beta") - 0.9),
        _ => 0.1 * (1.0 - libm::exp(-square((lg("optimizer", "lr") + 4.2) / 0.5))),
    };
    f += match kind("schedule").as_str() {
        "step" => 0.012 + 0.05 * square(of("schedule", "drop") - 0.3),
        "cosine" => (if lion { 0.0 } else { 0.015 }) + 0.3 * square(of("schedule", "warmup") - 0.1),
        _ => 0.025,
    };
    f + match kind("regulariser").as_str() {
        "dropout" => 0.01 + 0.1 * square(of("regulariser", "rate") - 0.25),
        "decay" => (if lion { 0.0 } else { 0.012 }) + 0.008 * square(lg("regulariser", "weight") + 2.5),
        _ => 0.02,
    }
}

/// One choice of five models, with two labels each. The better the best of a model is, the harder it is to find.
fn five_models_space() -> Value {
    let model = |k: usize| {
        let label = |axis: &str| json!({"label": [format!("{axis}{k}"), {"uniform": [0, 1]}]});
        json!({"model": k, "x": label("x"), "y": label("y")})
    };
    json!({"model": {"choice": (0..5).map(model).collect::<Vec<_>>()}})
}

fn five_models(p: &Map<String, Value>) -> f64 {
    // The best value, the curvature and the best place of each model.
    const MODELS: [(f64, f64, f64, f64); 5] = [
        (0.10, 0.1, 0.3, 0.4),
        (0.08, 0.3, 0.7, 0.2),
        (0.05, 0.8, 0.25, 0.8),
        (0.025, 2.0, 0.6, 0.6),
        (0.0, 6.0, 0.8, 0.35),
    ];
    let model = p["model"].as_object().expect("an object");
    let (best, curvature, x, y) = MODELS[number(model, "model") as usize];
    let off = square(number(model, "x") - x) + square(number(model, "y") - y);
    best + 0.3 * (1.0 - libm::exp(-curvature * off / 0.3))
}

/// A shallow bowl with a needle that is not in its middle.
fn needle4(p: &Map<String, Value>) -> f64 {
    const BOWL: [f64; 4] = [0.5, 0.45, 0.6, 0.5];
    const NEEDLE: [f64; 4] = [0.67, 0.32, 0.74, 0.38];
    let off = |centre: [f64; 4]| (0..4).map(|i| square(number(p, &format!("x{i}")) - centre[i])).sum::<f64>();
    0.4 * (off(BOWL) - 0.079_8) / (1.0 + off(BOWL)) * (1.0 - libm::exp(-off(NEEDLE) / 0.01))
        + 0.6 * (1.0 - libm::exp(-off(NEEDLE) / 0.045))
}

/// A fifth of the space fails, and the needle is beside it.
fn needle4_fails(p: &Map<String, Value>) -> bool {
    let x = |i: usize| number(p, &format!("x{i}"));
    x(0) + x(2) > 1.55 || (x(1) < 0.25 && x(3) > 0.5)
}

/// What a network costs and how good it is. It fails if it needs too much memory or diverges, and the best is close to that.
fn memory_space() -> Value {
    json!({
        "learning_rate": {"FloatRange": {"lo": 1e-5, "hi": 1.0, "log": true}},
        "momentum": {"uniform": [0, 0.99]},
        "batch": {"IntRange": {"lo": 8, "hi": 1024, "log": true}},
        "width": {"IntRange": {"lo": 8, "hi": 1024, "log": true}},
        "depth": {"IntRange": {"lo": 1, "hi": 12}},
        "activation": {"choice": ["relu", "elu", "tanh"]},
    })
}

fn memory(p: &Map<String, Value>) -> f64 {
    let lg = |key: &str| libm::log10(number(p, key));
    let rate = lg("learning_rate") - libm::log10(1.0 - number(p, "momentum")) - lg("batch");
    let capacity = libm::log2(number(p, "width")) + 0.4 * number(p, "depth");
    let of_activation = match p["activation"].as_str().expect("a name") {
        "relu" => 0.01,
        "elu" => 0.0,
        _ => 0.03,
    };
    0.05 * square(rate + 2.6)
        + 0.006 * square(capacity - 10.5)
        + 0.03 * square(lg("batch") - 1.8)
        + 0.002 * square(number(p, "depth") - 6.0)
        + of_activation
}

fn memory_fails(p: &Map<String, Value>) -> bool {
    let rate = number(p, "learning_rate") / (1.0 - number(p, "momentum"));
    let bytes = number(p, "batch") * number(p, "width") * number(p, "depth");
    rate > 0.35 || bytes > 120_000.0
}

fn levy10(p: &Map<String, Value>) -> f64 {
    let w = |i: usize| 1.0 + (number(p, &format!("x{i}")) - 1.0) / 4.0;
    let sine = |x: f64| square(libm::sin(x));
    let middle: f64 = (0..9).map(|i| square(w(i) - 1.0) * (1.0 + 10.0 * sine(PI * w(i) + 1.0))).sum();
    sine(PI * w(0)) + middle + square(w(9) - 1.0) * (1.0 + sine(2.0 * PI * w(9)))
}

/// A bowl in ten dimensions, each coupled with the next, with curvatures that differ by a factor of thirty.
fn coupled10(p: &Map<String, Value>) -> f64 {
    let off = |i: usize| number(p, &format!("x{i}")) - 0.2 - 0.065 * i as f64;
    let term = |i: usize| {
        let next = if i < 9 { off(i + 1) } else { 0.0 };
        libm::exp(0.38 * ((i * 7) % 10) as f64) * square(off(i) - 0.7 * next)
    };
    0.1 * (0..10).map(term).sum::<f64>()
}

/// Thirty labels of four kinds. Four of them matter.
fn thirty4_space() -> Value {
    let kind = |i: usize| match i % 5 {
        0 | 1 => json!({"uniform": [0, 1]}),
        2 => json!({"FloatRange": {"lo": 1e-5, "hi": 0.1, "log": true}}),
        3 => json!({"IntRange": {"lo": 1, "hi": 16}}),
        _ => json!({"choice": ["a", "b", "c", "d"]}),
    };
    (0..30).map(|i| (format!("h{i:02}"), kind(i))).collect()
}

fn thirty4(p: &Map<String, Value>) -> f64 {
    let rate = libm::log10(number(p, "h07")) + 3.2;
    let share = number(p, "h15") - 0.35;
    let units = (number(p, "h23") - 11.0) / 15.0;
    let (of_option, shift) = match p["h19"].as_str().expect("a name") {
        "a" => (0.04, 0.0),
        "b" => (0.0, 0.5),
        "c" => (0.02, -0.5),
        _ => (0.08, 0.0),
    };
    0.03 * square(rate - shift + share) + 0.25 * square(share - 0.3 * units) + 0.3 * square(units) + of_option
}

/// Five labels on scales of eight decades or more, coupled in pairs.
fn wide_log_space() -> Value {
    let log = |lo: f64, hi: f64| json!({"FloatRange": {"lo": lo, "hi": hi, "log": true}});
    json!({
        "rate": log(1e-8, 1.0),
        "decay": log(1e-10, 1.0),
        "epsilon": log(1e-12, 0.01),
        "temperature": log(1e-4, 1e4),
        "steps": {"IntRange": {"lo": 1, "hi": 1_000_000, "log": true}},
    })
}

fn wide_log(p: &Map<String, Value>) -> f64 {
    let lg = |key: &str| libm::log10(number(p, key));
    let saturated = |x: f64| 1.0 - libm::exp(-x);
    saturated(0.4 * square(lg("rate") + lg("steps") - 0.5))
        + saturated(0.1 * square(lg("rate") + 3.4))
        + saturated(0.05 * square(lg("decay") + 4.7 + 0.3 * lg("temperature")))
        + 0.5 * saturated(0.02 * square((lg("epsilon") + 5.0).min(0.0)) + 0.02 * square((lg("epsilon") + 4.0).max(0.0)))
        + saturated(0.08 * square(lg("temperature") - 0.8))
}
