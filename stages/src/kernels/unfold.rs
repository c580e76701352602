//! Windows of an image side by side, for images of few channels.

use super::{map::Shape, window::Window};

/// Writes the windows of a map `x` to `columns`, pixel by pixel of `y`: `[k, k, channels]`, padded by zeros.
pub(super) fn unfold(window: Window, x: Shape, y: Shape, map: &[f32], columns: &mut [f32]) {
    let read = Shape { c: window.places() * x.c, ..y };
    for (output, columns) in columns.chunks_exact_mut(read.padded()).enumerate() {
        let output = (output / y.w, output % y.w);
        for (place, to) in columns[..read.c].chunks_exact_mut(x.c).enumerate() {
            match window.pixel(output, place, x) {
                Some((iy, ix)) => to.copy_from_slice(&map[(iy * x.w + ix) * x.padded()..][..x.c]),
                None => to.fill(0.0),
            }
        }
        columns[read.c..].fill(0.0);
    }
}
