//! What a device is able to do.

use burn::tensor::{Device, Tensor};
use burn_cubecl::Cube;

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
