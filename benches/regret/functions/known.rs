//! The eight functions of the first benchmark.
//!
//! Sources: branin and hartmann6 are the classical ones (Picheny, Wagner and Ginsbourger, "A benchmark of kriging-based
//! infill criteria for noisy optimization", 2013); the others were written for this benchmark. Those called
//! `hyperopt_cifar` have the space of Hyperopt-CIFAR, the study in
//! github.com/guillaume-chevalier/Hyperopt-Keras-CNN-CIFAR-100 (MIT); `hyperopt_cifar_surrogate` is a kernel ridge regression
//! over its 42 recorded trials.

use std::f64::consts::PI;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Function, number, square};

/// Returns the functions, in the order of the table.
pub(super) fn all() -> Vec<Function> {
    let function = Function::new;
    let ln = libm::log;
    let branin_space = json!({ "x": {"uniform": [-5, 10]}, "y": {"uniform": [0, 15]} });
    let unit = json!({ "uniform": [0, 1] });
    let hartmann_space = json!({ "x0": unit, "x1": unit, "x2": unit, "x3": unit, "x4": unit, "x5": unit });
    let mixed_space = json!({
        "lr": {"loguniform": [ln(1e-5), ln(1e-1)]},
        "wd": {"loguniform": [ln(1e-6), ln(1e-2)]},
        "batch": {"quniform": [16, 512, 16]},
        "momentum": {"uniform": [0.5, 0.99]},
        "dropout": {"uniform": [0, 0.6]},
        "units": {"qloguniform": [ln(16.0), ln(1024.0), 16]},
        "opt": {"choice": ["sgd", "adam", "rms"]},
        "act": {"choice": ["relu", "elu"]},
    });
    let tree_space = json!({ "algo": {"choice": [
        {"kind": "svm", "C": {"label": ["svm_C", {"loguniform": [ln(1e-3), ln(1e3)]}]},
         "kernel": {"label": ["svm_kernel", {"choice": ["linear", {"gamma": {"label": ["svm_gamma", {"loguniform": [ln(1e-5), ln(10.0)]}]}}]}]}},
        {"kind": "knn", "k": {"label": ["knn_k", {"quniform": [1, 30, 1]}]},
         "w": {"label": ["knn_w", {"choice": ["uniform", "distance"]}]}},
        {"kind": "mlp", "lr": {"label": ["mlp_lr", {"loguniform": [ln(1e-5), ln(1e-1)]}]},
         "width": {"label": ["mlp_width", {"qloguniform": [ln(8.0), ln(256.0), 8]}]},
         "depth": {"label": ["mlp_depth", {"choice": [1, 2, 3]}]},
         "dropout": {"label": ["mlp_dropout", {"uniform": [0, 0.7]}]}},
    ]}});
    vec![
        function("branin", branin_space, branin, 0.397_887_357_729_738_16),
        function("hartmann6", hartmann_space, hartmann6, -3.322_368_011_415_511),
        function("mixed8", mixed_space, mixed8, 0.0),
        function("hyperopt_cifar_like", hyperopt_cifar_space(), hyperopt_cifar_like, 0.0),
        function("tree", tree_space, tree, 0.08),
        Function {
            noise: 0.02,
            ..function("hyperopt_cifar_like_noisy", hyperopt_cifar_space(), hyperopt_cifar_like, 0.0)
        },
        Function {
            fails: hyperopt_cifar_fails,
            ..function("hyperopt_cifar_like_fail", hyperopt_cifar_space(), hyperopt_cifar_like, 0.0)
        },
        function(
            "hyperopt_cifar_surrogate",
            hyperopt_cifar_space(),
            hyperopt_cifar_surrogate,
            -0.709_996_938_932_546_2,
        ),
    ]
}

/// Returns the space of Hyperopt-CIFAR: 19 keys, 22 labels.
fn hyperopt_cifar_space() -> Value {
    serde_json::from_str(include_str!("../../../stages/src/search/fixtures/hyperopt_cifar_space.json"))
        .expect("the file is JSON")
}

fn branin(p: &Map<String, Value>) -> f64 {
    let (x, y) = (number(p, "x"), number(p, "y"));
    let (b, c, t) = (5.1 / (4.0 * PI * PI), 5.0 / PI, 1.0 / (8.0 * PI));
    square(y - b * x * x + c * x - 6.0) + 10.0 * (1.0 - t) * libm::cos(x) + 10.0
}

fn hartmann6(p: &Map<String, Value>) -> f64 {
    const ALPHA: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [1312.0, 1696.0, 5569.0, 124.0, 8283.0, 5886.0],
        [2329.0, 4135.0, 8307.0, 3736.0, 1004.0, 9991.0],
        [2348.0, 1451.0, 3522.0, 2883.0, 3047.0, 6650.0],
        [4047.0, 8828.0, 8732.0, 5743.0, 1091.0, 381.0],
    ];
    let term = |i: usize| {
        let exponent: f64 = (0..6).map(|j| A[i][j] * square(number(p, &format!("x{j}")) - 1e-4 * P[i][j])).sum();
        ALPHA[i] * libm::exp(-exponent)
    };
    -(0..4).map(term).sum::<f64>()
}

fn mixed8(p: &Map<String, Value>) -> f64 {
    let optimizer = p["opt"].as_str().expect("a name");
    let (centre, offset) = match optimizer {
        "sgd" => (-1.7, 0.0),
        "adam" => (-3.0, 0.01),
        _ => (-3.4, 0.03),
    };
    let dropout = number(p, "dropout");
    let best = centre + 0.5 * libm::log10(number(p, "batch") / 128.0);
    let mut f = 0.12 * square(libm::log10(number(p, "lr")) - best);
    f += 0.03 * square(libm::log10(number(p, "wd")) + 4.0 + 2.0 * dropout);
    f += 0.4 * square(dropout - 0.25);
    if optimizer == "sgd" {
        f += 1.5 * square(number(p, "momentum") - 0.9);
    }
    f += 0.0125 * square(libm::log2(number(p, "units")) - 8.0);
    f + offset + if p["act"] == "elu" { 0.005 } else { 0.0 }
}

fn hyperopt_cifar_like(p: &Map<String, Value>) -> f64 {
    let ln = |key: &str| libm::log(number(p, key));
    let dropout = number(p, "conv_dropout_drop_proba");
    let (centre, of_optimizer) = match p["optimizer"].as_str().expect("a name") {
        "Adam" => (0.10, 0.006),
        "Nadam" => (-0.20, 0.0),
        _ => (-0.40, 0.02),
    };
    let normalised = p["use_BN"] == true;
    let kernel = number(p, "conv_kernel_size");
    let mut f = 0.40 * square(ln("lr_rate_mult") - centre - 0.3 * libm::log(number(p, "batch_size") / 275.0));
    f += 0.02 * square(ln("l2_weight_reg_mult") + 0.8 + 0.5 * (dropout - 0.2) / 0.35);
    f += 0.5 * square(dropout - 0.2) + 0.15 * square(number(p, "fc_dropout_drop_proba") - 0.45);
    f += 0.04 * square(width(p) - 0.75);
    let residual = p["residual"].as_f64();
    match residual {
        None => f += 0.06,
        Some(units) => {
            let start = number(p, "conv_pool_res_start_idx");
            f += 0.008 * square(units - (3.0 - 0.5 * start)) + 0.01 * start;
            f += 0.006 * square(number(p, "res_conv_kernel_size") - 2.0);
        }
    }
    if !normalised {
        f += 0.03 + residual.map_or(0.0, |units| 0.0075 * units);
    }
    f += match p["pooling_type"].as_str().expect("a name") {
        "max" => 0.012,
        "avg" => 0.0,
        "all_conv" => 0.02,
        _ if kernel == 4.0 => 0.018,
        _ => 0.008,
    };
    f += 0.01 * square(kernel - 3.0);
    f += match p["first_conv"].as_f64() {
        None => 0.01,
        Some(3.0) => 0.0,
        Some(_) => 0.004,
    };
    f += 0.01 * square(ln("fc_units_1_mult") - 0.25);
    if let Some(units) = p["one_more_fc"].as_f64() {
        f += 0.008 + 0.02 * square(libm::log(units));
    }
    if p["activation"] == "relu" {
        f += 0.015 + if normalised { 0.0 } else { 0.02 };
    }
    f + of_optimizer + 0.05 * square(number(p, "coarse_labels_weight") - 0.3)
}

/// Returns the logarithm of the width of the network.
fn width(p: &Map<String, Value>) -> f64 {
    libm::log(number(p, "conv_hiddn_units_mult")) + if p["nb_conv_pool_layers"] == 3 { 0.35 } else { 0.0 }
}

fn hyperopt_cifar_fails(p: &Map<String, Value>) -> bool {
    let diverges = p["optimizer"] == "RMSprop" && libm::log(number(p, "lr_rate_mult")) > 0.0 && p["use_BN"] == false;
    diverges || (width(p) > 0.6 && number(p, "batch_size") > 380.0)
}

fn tree(p: &Map<String, Value>) -> f64 {
    let algorithm = p["algo"].as_object().expect("an object");
    let lg = |key: &str| libm::log10(number(algorithm, key));
    match algorithm["kind"].as_str().expect("a name") {
        "svm" => match algorithm["kernel"].as_object() {
            None => 0.25 + 0.01 * square(lg("C")),
            Some(kernel) => {
                let c = lg("C") - 1.0;
                0.10 + 0.02 * c * c + 0.05 * square(libm::log10(number(kernel, "gamma")) + 2.0 + 0.3 * c)
            }
        },
        "knn" => {
            let uniform = if algorithm["w"] == "uniform" { 0.02 } else { 0.0 };
            0.18 + 0.001 * square(number(algorithm, "k") - 7.0) + uniform
        }
        _ => {
            let depth = number(algorithm, "depth");
            let of_depth = [0.03, 0.0, 0.01][depth as usize - 1];
            let mut f = 0.08 + 0.06 * square(lg("lr") + 3.0 - 0.1 * (depth - 2.0));
            f += 0.02 * square(libm::log2(number(algorithm, "width")) - 6.0);
            f + 0.3 * square(number(algorithm, "dropout") - 0.2) + of_depth
        }
    }
}

#[derive(Deserialize)]
struct Surrogate {
    mean: f64,
    inv_two_l2: f64,
    alpha: Vec<f64>,
    #[serde(rename = "X")]
    points: Vec<Vec<f64>>,
}

fn hyperopt_cifar_surrogate(p: &Map<String, Value>) -> f64 {
    static SURROGATE: std::sync::LazyLock<Surrogate> = std::sync::LazyLock::new(|| {
        serde_json::from_str(include_str!("../hyperopt_cifar_surrogate.json"))
            .expect("the file is part of the benchmark")
    });
    let x = encoded(p);
    let term = |(alpha, point): (&f64, &Vec<f64>)| {
        let distance: f64 = x.iter().zip(point).map(|(a, b)| square(a - b)).sum();
        alpha * libm::exp(-SURROGATE.inv_two_l2 * distance)
    };
    SURROGATE.mean + SURROGATE.alpha.iter().zip(&SURROGATE.points).map(term).sum::<f64>()
}

/// Returns the features of the surrogate.
fn encoded(p: &Map<String, Value>) -> Vec<f64> {
    let ln = |key: &str| libm::log(number(p, key));
    let hot = |value: &Value, options: &[Value]| -> Vec<f64> {
        let same = |option: &Value| value == option || (value.is_number() && value.as_f64() == option.as_f64());
        options.iter().map(|option| if same(option) { std::f64::consts::FRAC_1_SQRT_2 } else { 0.0 }).collect()
    };
    let is_set = |key: &str| hot(&json!(!p[key].is_null()), &[json!(false), json!(true)]);
    let mut x = vec![
        ln("lr_rate_mult") + 0.5,
        (ln("l2_weight_reg_mult") + 1.3) / 2.6,
        (number(p, "batch_size") - 100.0) / 350.0,
    ];
    x.extend(hot(&p["optimizer"], &["Adam", "Nadam", "RMSprop"].map(Value::from)));
    x.push((number(p, "coarse_labels_weight") - 0.1) / 0.6);
    x.push(number(p, "conv_dropout_drop_proba") / 0.35);
    x.push(number(p, "fc_dropout_drop_proba") / 0.6);
    x.extend(hot(&p["use_BN"], &[json!(false), json!(true)]));
    x.extend(hot(&p["first_conv"], &[Value::Null, json!(3), json!(4)]));
    x.extend(is_set("residual"));
    x.push(p["residual"].as_f64().map_or(0.5, |units| (units - 1.0) / 3.0));
    x.push((ln("conv_hiddn_units_mult") + 0.6) / 1.2);
    x.extend(hot(&p["nb_conv_pool_layers"], &[json!(2), json!(3)]));
    x.push(number(p, "conv_pool_res_start_idx") / 2.0);
    x.extend(hot(&p["pooling_type"], &["max", "avg", "all_conv", "inception"].map(Value::from)));
    x.push((number(p, "conv_kernel_size") - 2.0) / 2.0);
    x.push((number(p, "res_conv_kernel_size") - 2.0) / 2.0);
    x.push((ln("fc_units_1_mult") + 0.6) / 1.2);
    x.extend(is_set("one_more_fc"));
    x.push(p["one_more_fc"].as_f64().map_or(0.5, |units| (libm::log(units) + 0.6) / 1.2));
    x.extend(hot(&p["activation"], &["relu", "elu"].map(Value::from)));
    x
}
