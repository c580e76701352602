//! Numbers that are too small to matter.
//!
//! Processors compute with subnormal numbers (below 2^-126) up to a hundred times slower. The moments of an optimizer get there: the
//! gradients of a unit that is always off are 0, its mean gradient shrinks by a tenth in each step, is subnormal after some 750 steps and
//! then stays so, because rounding stops it from shrinking further. So numbers count as 0 long before. The setting of processors that does
//! this (flush to zero) is not the same on all of them, and so would not give the same bits.

/// Gradients and their running means below 2^-60 count as 0. Their squares are normal numbers.
pub(super) const LEAST: f32 = f32::from_bits((127 - 60) << 23);

/// Running means of squares below 2^-100, and velocities, count as 0. A thousandth of it is a normal number, and its square root adds
/// nothing to the 1e-7 to which optimizers add it.
pub(super) const LEAST_SQUARE: f32 = f32::from_bits((127 - 100) << 23);

/// Returns `x`, or 0 if its magnitude is below `least`. What is not a number stays so.
#[inline(always)]
pub(super) fn or_zero(x: f32, least: f32) -> f32 {
    if x.abs() < least { 0.0 } else { x }
}
