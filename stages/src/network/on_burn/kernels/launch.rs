//! Tensors as the buffers of kernels.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use burn_cubecl::{Cube, tensor::CubeTensor};
use cubecl::prelude::*;

use crate::network::on_burn::traffic::upload_words;

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

/// Returns the tensor with its numbers in order in memory.
pub(super) fn in_order(tensor: CubeTensor) -> CubeTensor {
    if tensor.is_contiguous() { tensor } else { burn_cubecl::kernel::into_contiguous(tensor) }
}

/// Returns the tensor of a buffer.
pub(crate) fn tensor<const D: usize>(buffer: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<Cube>(buffer)
}

/// Returns a new buffer of f32 of this shape on the device of `like`. Its numbers are arbitrary.
pub(crate) fn empty<const D: usize>(shape: [usize; D], like: &CubeTensor) -> CubeTensor {
    burn_cubecl::ops::numeric::empty_device_contiguous_dtype(
        like.client.clone(),
        like.device.clone(),
        shape.into(),
        burn::tensor::DType::F32,
    )
}

/// Returns a new buffer that is laid out like `like`. Its numbers are arbitrary.
pub(super) fn empty_like(like: &CubeTensor) -> CubeTensor {
    let n = like.meta.num_elements();
    let CubeTensor { handle, .. } = empty([n], like);
    CubeTensor { handle, ..like.clone() }
}

/// Returns the part of `buffer` `[n]` that has the numbers of `range`. It must start at a multiple of [`alignment`].
pub(crate) fn part(buffer: &CubeTensor, range: Range<usize>) -> Tensor<1> {
    let bytes = size_of::<f32>();
    let handle = buffer.handle.clone().offset_start((bytes * range.start) as u64);
    let handle = handle.offset_end((bytes * (buffer.meta.num_elements() - range.end)) as u64);
    let (client, device) = (buffer.client.clone(), buffer.device.clone());
    tensor(CubeTensor::new_contiguous(client, device, [range.len()].into(), handle, buffer.dtype))
}

/// Returns how many numbers are from the start of a part of a buffer to the start of the next one, at least.
pub(crate) fn alignment(buffer: &CubeTensor) -> usize {
    (buffer.client.properties().memory.alignment as usize).div_ceil(size_of::<f32>())
}

/// Returns how many buffers a kernel can have on the device of `buffer`, besides those of CubeCL itself.
pub(crate) fn most_buffers(buffer: &CubeTensor) -> usize {
    buffer.client.properties().hardware.max_bindings.saturating_sub(1) as usize
}

/// Returns how many cubes, of which size, have `n` units.
pub(super) fn units(n: usize, on: &CubeTensor) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&on.client, n);
    (cubecl::calculate_cube_count_elemwise(&on.client, n, dim), dim)
}
