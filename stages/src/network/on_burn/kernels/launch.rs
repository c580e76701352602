//! Tensors as the buffers of kernels.

use burn::tensor::{Device, Tensor};
use burn_cubecl::{Cube, tensor::CubeTensor};
use cubecl::prelude::*;

use crate::network::on_burn::traffic::upload_words;

/// Returns whether our kernels run on `device`.
pub(crate) fn is_cube(device: &Device) -> bool {
    Tensor::<1>::empty([1], device).try_into_primitive::<Cube>().is_ok()
}

/// Returns whether the threads of a group can add their numbers on `device`. Without that (OpenGL), burn's kernels do not compile, one
/// after the other.
pub(crate) fn has_plane_operations(device: &Device) -> bool {
    let tensor = Tensor::<1>::empty([1], device).try_into_primitive::<Cube>();
    tensor.is_ok_and(|tensor| tensor.client.properties().features.plane.contains(cubecl::ir::features::Plane::Ops))
}

/// Returns the length of the largest buffer that `device` allocates, in bytes, if our kernels run on it.
pub(crate) fn largest_buffer(device: &Device) -> Option<u64> {
    let tensor = Tensor::<1>::empty([1], device).try_into_primitive::<Cube>().ok()?;
    Some(tensor.client.properties().memory.max_page_size)
}

/// Returns whether `device` holds `bytes` in one buffer that our kernels can read, whose words have numbers of 32 bits.
pub(crate) fn holds(device: &Device, bytes: usize) -> bool {
    let most = largest_buffer(device).unwrap_or(0).min(u32::MAX.into());
    bytes as u64 <= most
}

/// Returns the buffer of `tensor`, which must be on a device on which our kernels run, and without autodiff. The buffer is the
/// tensor's own if its elements are in order.
pub(crate) fn buffer<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    in_order(tensor.try_into_primitive::<Cube>().expect("the tensor is on a device of CubeCL, without autodiff"))
}

/// Copies words to `device`, on which our kernels must run.
pub(crate) fn words(values: Vec<u32>, device: &Device) -> CubeTensor {
    let tensor = upload_words(values, device);
    in_order(tensor.try_into_primitive::<Cube>().expect("the device is one of CubeCL"))
}

fn in_order(tensor: CubeTensor) -> CubeTensor {
    if tensor.is_contiguous() { tensor } else { burn_cubecl::kernel::into_contiguous(tensor) }
}

/// Returns the tensor of a buffer.
pub(super) fn tensor<const D: usize>(buffer: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<Cube>(buffer)
}

/// Returns a new buffer of f32 of this shape on the device of `like`. Its numbers are arbitrary.
pub(super) fn empty<const D: usize>(shape: [usize; D], like: &CubeTensor) -> CubeTensor {
    burn_cubecl::ops::numeric::empty_device_contiguous_dtype(
        like.client.clone(),
        like.device.clone(),
        shape.into(),
        burn::tensor::DType::F32,
    )
}

/// Returns how many cubes, of which size, have `n` units.
pub(super) fn units(n: usize, on: &CubeTensor) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&on.client, n);
    (cubecl::calculate_cube_count_elemwise(&on.client, n, dim), dim)
}
