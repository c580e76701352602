//! Initial weights that come from another training or from a file.

use std::collections::BTreeMap;

use pipe_store::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::{
    network::{Architecture, Weight},
    parameters,
    params::{Domain, Read, content, named},
    problem::{Path, Problem},
    records::Transfer,
    stage::StageError,
    tensors::TensorsReader,
};

/// Where the initial weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Init {
    /// The file in the slot `init`.
    Weights(InitWeights),
}

parameters! {
    /// How the weights of a file become those of a network.
    #[derive(Eq)]
    pub struct InitWeights = defaults {
        /// Whether the file must have every array of the network with its shape, and no others. Otherwise those whose name and shape
        /// fit are taken, and the others are drawn as usual.
        strict: bool = true,
    }
}

impl Read for Init {
    fn read(value: &Value, _: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let (_, settings) = named(value, &["Weights"], at, problems)?;
        content("Weights", settings, &Domain::Any, at, problems).map(Self::Weights)
    }

    fn expected(_: &Domain) -> String {
        "`Weights(from: \"stage\")`".to_owned()
    }

    fn brief(_: &Domain) -> String {
        "`Weights(..)`".to_owned()
    }
}

/// Why no weights were taken.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The file cannot be read.
    File(StageError),
    /// The file does not fit the network. Says why.
    Misfit(String),
}

/// The most names that a message lists.
const LISTED: usize = 20;

/// Returns the arrays of `architecture` that the safetensors file `bytes` has with the same name and shape, and which those are.
///
/// # Errors
/// If `bytes` is not a safetensors file, if no array fits, or if they are to fit strictly and one does not.
pub(crate) fn transfer(
    architecture: &Architecture,
    bytes: Bytes,
    InitWeights { strict }: InitWeights,
) -> Result<(BTreeMap<String, Weight>, Transfer), TransferError> {
    let reader = TensorsReader::new(bytes).map_err(|error| {
        TransferError::File(StageError::failed(format!("the weights to start from cannot be read: {error}")))
    })?;
    let shapes = architecture.parameter_shapes();
    let (mut taken, mut wrong, mut drawn) = (BTreeMap::new(), Vec::new(), Vec::new());
    for parameter in &shapes {
        let (name, expected) = (&parameter.name, &parameter.shape);
        let why = match (reader.shape(name), reader.f32(name)) {
            (None, _) => format!("`{name}` is missing"),
            (Some(shape), _) if shape != expected => format!("`{name}` is {shape:?}, expected {expected:?}"),
            (_, Err(error)) => error.to_string(),
            (_, Ok((values, _))) => {
                taken.insert(name.clone(), Weight { shape: expected.clone(), values });
                continue;
            }
        };
        wrong.push(why);
        drawn.push(name.clone());
    }
    let unused: Vec<_> = reader.names().filter(|name| !taken.contains_key(*name)).map(str::to_owned).collect();
    if taken.is_empty() {
        let (found, expected) =
            (listed(reader.names()), listed(shapes.iter().map(|parameter| parameter.name.as_str())));
        let message = format!("no array fits the network: the file has {found}, and the network has {expected}");
        return Err(TransferError::Misfit(message));
    }
    if strict {
        let known: Vec<_> = shapes.iter().map(|parameter| parameter.name.as_str()).collect();
        let unknown = unused.iter().filter(|name| !known.contains(&name.as_str()));
        wrong.extend(unknown.map(|name| format!("the network has no `{name}`")));
        if let Some((first, others)) = wrong.split_first() {
            let more =
                if others.is_empty() { String::new() } else { format!(", and {} more do not fit", others.len()) };
            return Err(TransferError::Misfit(format!("{first}{more}: `strict: false` takes the arrays that fit")));
        }
    }
    let record = Transfer { taken: taken.len(), drawn, unused };
    Ok((taken, record))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "nothing".to_owned(),
        n if n > LISTED => format!("{} and {} more", names[..LISTED].join(", "), n - LISTED),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        network::{
            Builder, Weights,
            architecture::{Head, Output},
            layers::{Conv, Flatten},
            padding::Padding,
        },
        tensors::TensorsWriter,
    };

    fn network(filters: usize, classes: usize) -> Architecture {
        let mut builder = Builder::new([1, 4, 4]);
        let conv = builder.add(Conv { filters, kernel: 3, stride: 1, padding: Padding::Same }, &["input"]);
        let flat = builder.add(Flatten, &[&conv]);
        let head = Head { name: "class".into(), classes, output: Output::Softmax };
        builder.finish(&flat, &[head]).unwrap()
    }

    fn misfit(architecture: &Architecture, bytes: Vec<u8>, strict: bool) -> String {
        match transfer(architecture, bytes.into(), InitWeights { strict }) {
            Err(TransferError::Misfit(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_network_is_taken_whole() {
        let weights = Weights::initial(&network(2, 3), 7);
        let (taken, told) = transfer(&network(2, 3), weights.write().into(), InitWeights { strict: true }).unwrap();
        assert_eq!(Weights(taken), weights);
        assert_eq!(told, Transfer { taken: 4, drawn: Vec::new(), unused: Vec::new() });
    }

    #[test]
    fn with_another_head_the_rest_is_taken_and_told() {
        let weights = Weights::initial(&network(2, 3), 7);
        let why = misfit(&network(2, 5), weights.write(), true);
        assert_eq!(
            why,
            "`class.kernel` is [32, 3], expected [32, 5], and 1 more do not fit: `strict: false` takes the arrays that fit"
        );
        let (taken, told) = transfer(&network(2, 5), weights.write().into(), InitWeights { strict: false }).unwrap();
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["conv2d_1.bias", "conv2d_1.kernel"]);
        assert_eq!(taken["conv2d_1.kernel"], weights.0["conv2d_1.kernel"]);
        let head = ["class.kernel", "class.bias"].map(str::to_owned);
        assert_eq!((told.taken, told.drawn), (2, head.to_vec()));
        assert_eq!(told.unused, ["class.bias", "class.kernel"]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let mut weights = Weights::initial(&network(2, 3), 7);
        let kernel = weights.0.remove("class.kernel").unwrap();
        assert!(misfit(&network(2, 3), weights.write(), true).starts_with("`class.kernel` is missing: "));
        weights.0.insert("class.kernel".into(), kernel.clone());
        weights.0.insert("more".into(), kernel);
        let why = misfit(&network(2, 3), weights.write(), true);
        assert!(why.starts_with("the network has no `more`: "), "{why}");
        let mut other = TensorsWriter::default();
        other.f32("layer1.weight", &[1], &[0.5]);
        for strict in [true, false] {
            assert_eq!(
                misfit(&network(2, 3), other.finish(), strict),
                "no array fits the network: the file has `layer1.weight`, and the network has `conv2d_1.kernel`, \
                 `conv2d_1.bias`, `class.kernel`, `class.bias`"
            );
        }
        let mut whole = TensorsWriter::default();
        whole.i32("class.bias", &[3], &[1, 2, 3]);
        whole.f32("conv2d_1.bias", &[2], &[1.0, 2.0]);
        let why = misfit(&network(2, 3), whole.finish(), true);
        assert_eq!(
            why,
            "`conv2d_1.kernel` is missing, and 2 more do not fit: `strict: false` takes the arrays that fit"
        );
        let (_, told) = transfer(&network(2, 3), whole.finish().into(), InitWeights { strict: false }).unwrap();
        assert_eq!((told.taken, told.unused), (1, vec!["class.bias".to_owned()]));
        let error = transfer(&network(2, 3), b"no".to_vec().into(), InitWeights { strict: true });
        assert!(matches!(error, Err(TransferError::File(_))));
    }
}
