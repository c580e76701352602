//! Operations of one input, with a gradient of our own.

use std::fmt::Debug;

use burn::tensor::Tensor;
use burn_autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn_cubecl::{Cube, tensor::CubeTensor};

/// What an operation keeps of its forward pass.
pub(super) trait Kept: Debug + Clone + Send + 'static {
    /// Returns the gradient with respect to the input, given that with respect to the output.
    fn gradient(&self, dy: CubeTensor) -> CubeTensor;
}

/// Returns the output of an operation, given a function that computes it and what the gradient needs. With autodiff if `x` is.
pub(super) fn apply<K: Kept>(x: Tensor<4>, forward: impl FnOnce(CubeTensor) -> (CubeTensor, K)) -> Tensor<4> {
    if !x.is_autodiff() {
        let x = x.try_into_primitive::<Cube>().expect("the tensor is on a device of CubeCL");
        return Tensor::from_primitive::<Cube>(forward(x).0);
    }
    let x = x.try_into_primitive::<Autodiff<Cube>>().expect("the tensor is on a device of CubeCL");
    let prepared = Operation(std::marker::PhantomData::<K>).prepare::<NoCheckpointing>([x.node()]);
    let (y, kept) = forward(x.into_primitive());
    let y = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(kept, y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    };
    Tensor::from_primitive::<Autodiff<Cube>>(y)
}

#[derive(Debug)]
struct Operation<K>(std::marker::PhantomData<K>);

impl<K: Kept> Backward<Cube, 1> for Operation<K> {
    type State = K;

    fn backward(self, ops: Ops<K, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<Cube>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            gradients.register::<Cube>(parent.id, ops.state.gradient(dy));
        }
    }
}
