//! The way from a tensor to its numbers on the CPU and back, and into burn's tape.

use burn::{
    backend::{
        Autodiff, Flex, TensorMetadata,
        autodiff::{
            checkpoint::strategy::NoCheckpointing,
            ops::{Backward, NodeGuard, OpsKind},
        },
        flex::FlexTensor,
    },
    tensor::{Tensor, TensorData},
};

/// The autodiff form of a tensor on the CPU.
pub(super) type Tracked = <Autodiff<Flex> as burn::backend::BackendTypes>::FloatTensorPrimitive;

/// Returns the tensor's numbers on the CPU, if that is where it is.
pub(super) fn plain<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    tensor.clone().inner().try_into_primitive::<Flex>().ok().map(|tensor| tensor.to_contiguous())
}

/// Returns the tensor as a node of the tape.
///
/// # Panics
/// If the tensor is not on the CPU.
pub(super) fn tracked<const D: usize>(tensor: Tensor<D>) -> Tracked {
    tensor.autodiff().try_into_primitive::<Autodiff<Flex>>().expect("the tensor is on the CPU")
}

/// Returns the numbers, in the order of the shape.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("networks compute with contiguous f32")
}

/// Returns a tensor of these numbers.
pub(super) fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
}

/// Returns `output` with its place on the tape: computed from `inputs`, with gradients by `operation` from `state`.
pub(super) fn record<O, const N: usize, const D: usize>(
    operation: O,
    inputs: [NodeGuard; N],
    state: O::State,
    output: FlexTensor,
) -> Tensor<D>
where
    O: Backward<Flex, N>,
{
    debug_assert_eq!(output.rank(), D);
    let output = match operation.prepare::<NoCheckpointing>(inputs).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(output)
}
