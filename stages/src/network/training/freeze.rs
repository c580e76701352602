//! Layers whose weights a training leaves as they are.

use std::collections::BTreeSet;

use crate::network::{Architecture, Layer};

/// Returns the names of the layers that `patterns` mean, if they have weights. A pattern is the name of a layer, in which `*` stands
/// for any characters.
///
/// # Errors
/// If a pattern means no layer with weights, or nothing is left to train. Says why, with the layers.
pub(crate) fn frozen(architecture: &Architecture, patterns: &[String]) -> Result<BTreeSet<String>, String> {
    let weighty: Vec<_> = architecture.layers.iter().filter(|layer| layer.parameters > 0).collect();
    let names =
        |layers: &[&Layer]| layers.iter().map(|layer| format!("`{}`", layer.name)).collect::<Vec<_>>().join(", ");
    let mut frozen = BTreeSet::new();
    for pattern in patterns {
        let meant: Vec<_> = weighty.iter().filter(|layer| matches(pattern, &layer.name)).collect();
        if meant.is_empty() {
            let without = architecture.layers.iter().any(|layer| matches(pattern, &layer.name));
            let what = if without { "layer with weights" } else { "layer" };
            return Err(format!(
                "`freeze`: no {what} is called `{pattern}`: those with weights are {}",
                names(&weighty)
            ));
        }
        frozen.extend(meant.into_iter().map(|layer| layer.name.clone()));
    }
    if frozen.len() == weighty.len() && !frozen.is_empty() {
        return Err(format!("`freeze`: nothing is left to train: it means all of {}", names(&weighty)));
    }
    Ok(frozen)
}

/// Returns whether `name` is what `pattern` means: the same text, in which each `*` stands for any characters or none.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').map_or((None, rest), |(middle, end)| (Some(middle), end));
    // The first place that fits leaves the most for the others.
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{
        Builder,
        architecture::{Head, Output},
        layers::{BatchNorm, Conv, Flatten},
        padding::Padding,
    };

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("conv2d_1", "conv2d_1", true),
            ("conv2d_1", "conv2d_10", false),
            ("conv2d_*", "conv2d_10", true),
            ("*", "", true),
            ("*_1", "add_1", true),
            ("*_1", "add_11", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("**x", "yx", true),
            ("a*", "b", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn layers_are_found_by_name_or_pattern_and_others_are_listed() {
        let mut builder = Builder::new([1, 4, 4]);
        let conv = builder.add(Conv { filters: 2, kernel: 3, stride: 1, padding: Padding::Same }, &["input"]);
        let norm = builder.add(BatchNorm { momentum: 0.9, epsilon: 1e-3 }, &[&conv]);
        let flat = builder.add(Flatten, &[&norm]);
        let head = Head { name: "class".into(), classes: 3, output: Output::Softmax };
        let network = builder.finish(&flat, &[head]).unwrap();
        let of = |patterns: &[&str]| frozen(&network, &patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]).unwrap().len(), 0);
        assert_eq!(of(&["*_1", "conv2d_1"]).unwrap(), ["batch_normalization_1", "conv2d_1"].map(str::to_owned).into());
        let weighty = "`conv2d_1`, `batch_normalization_1`, `class`";
        assert_eq!(
            of(&["conv_1"]).unwrap_err(),
            format!("`freeze`: no layer is called `conv_1`: those with weights are {weighty}")
        );
        assert_eq!(
            of(&["flatten_1"]).unwrap_err(),
            format!("`freeze`: no layer with weights is called `flatten_1`: those with weights are {weighty}")
        );
        assert_eq!(of(&["*"]).unwrap_err(), format!("`freeze`: nothing is left to train: it means all of {weighty}"));
    }
}
