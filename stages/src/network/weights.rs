//! The weights of a network on the host, by name: their initial values and their file.

use std::collections::BTreeMap;

use pipe_store::{Bytes, Digest};

use super::architecture::{Architecture, ParameterShape};
use crate::{
    stage::StageError,
    tensors::{TensorsReader, TensorsWriter},
};

/// One array.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// The shape of the array.
    pub shape: Vec<usize>,
    /// Its elements in row-major order.
    pub values: Vec<f32>,
}

/// All arrays of a network, by name (`conv2d_1.kernel`): trained parameters and moving statistics. Convolution kernels are
/// `[filters, channels, height, width]`, dense kernels `[inputs, units]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights(pub BTreeMap<String, Weight>);

impl Weights {
    /// Returns initial weights, as in Keras: kernels are drawn by the initialiser of their layer. Biases, beta and moving means are
    /// 0; gamma and moving variances are 1.
    ///
    /// Array `i` of [`Architecture::parameter_shapes`] uses the random streams (.., `i`).
    pub fn initial(architecture: &Architecture, seed: u64) -> Self {
        let array = |(i, parameter): (usize, ParameterShape)| {
            let elements = parameter.shape.iter().product();
            let values = if let Some(initialiser) = parameter.kernel {
                initialiser.draw(
                    &parameter.shape,
                    seed,
                    u32::try_from(i).expect("a network has fewer than 2^32 arrays"),
                )
            } else {
                vec![parameter.fill; elements]
            };
            (parameter.name, Weight { shape: parameter.shape, values })
        };
        Self(architecture.parameter_shapes().into_iter().enumerate().map(array).collect())
    }

    /// Reads the weights of `architecture` from the content of a safetensors file.
    ///
    /// # Errors
    /// If `bytes` is not a safetensors file, or an array of the architecture is missing or has another shape.
    pub fn read(architecture: &Architecture, bytes: Bytes) -> Result<Self, StageError> {
        let reader = TensorsReader::new(bytes)?;
        let array = |parameter: ParameterShape| {
            let (values, shape) = reader.f32(&parameter.name)?;
            if shape != parameter.shape {
                let (name, expected) = (parameter.name, parameter.shape);
                return Err(StageError::failed(format!("weights `{name}` are {shape:?}, expected {expected:?}")));
            }
            Ok((parameter.name, Weight { shape: parameter.shape, values }))
        };
        architecture.parameter_shapes().into_iter().map(array).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the content of a safetensors file with the weights.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = TensorsWriter::default();
        for (name, weight) in &self.0 {
            writer.f32(name, &weight.shape, &weight.values);
        }
        writer.finish()
    }

    /// Returns the digest of the file that [`write`](Self::write) returns.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{
        architecture::{Builder, Head, Output},
        layers::{BatchNorm, Conv, Flatten},
        padding::Padding,
    };

    #[test]
    fn kernels_fill_the_interval_of_glorot_and_a_file_is_read_as_written() {
        let mut builder = Builder::new([3, 8, 8]);
        let conv = builder.add(Conv { filters: 16, kernel: 3, stride: 1, padding: Padding::Same }, &["input"]);
        let norm = builder.add(BatchNorm { momentum: 0.9, epsilon: 1e-3 }, &[&conv]);
        let flat = builder.add(Flatten, &[&norm]);
        let network =
            builder.finish(&flat, &[Head { name: "class".into(), classes: 3, output: Output::Softmax }]).unwrap();
        let weights = Weights::initial(&network, 7);
        let kernel = &weights.0["conv2d_1.kernel"].values;
        let limit = (6.0f32 / (27.0 + 144.0)).sqrt();
        let largest = kernel.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        assert!(largest <= limit && largest > 0.95 * limit);
        assert!(kernel.iter().sum::<f32>().abs() / (kernel.len() as f32) < 0.1 * limit);
        assert_eq!(weights.0["batch_normalization_1.gamma"].values, [1.0; 16]);
        assert_ne!(weights, Weights::initial(&network, 8));
        assert_eq!(Weights::read(&network, weights.write().into()).unwrap(), weights);
        let mut other = weights.clone();
        other.0.remove("class.bias");
        assert!(Weights::read(&network, other.write().into()).is_err());
    }
}
