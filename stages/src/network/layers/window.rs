//! A square window that moves over an image, as in convolution and pooling.

use super::{
    definition::Misfit,
    label::LabelPart,
    onnx::{Attribute, Operator},
};
use crate::{
    network::{
        kernels::{map::Shape, window::Window as Pixels},
        padding::Padding,
    },
    params::Domain,
};

/// The allowed sides and strides of a window, in pixels.
pub(super) const SIDE: Domain = Domain::Whole(1..=64);

/// A window of `size` x `size` pixels every `stride` pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) padding: Padding,
}

impl Window {
    /// Returns why the window cannot move over `inputs`, or `None` if it can.
    pub(super) fn misfit(self, inputs: &[&[usize]]) -> Option<Misfit> {
        let too_small = |side: &usize| *side < self.size;
        Misfit::of_images(inputs).or_else(|| {
            let is_too_large = self.padding == Padding::Valid && inputs[0][1..].iter().any(too_small);
            is_too_large.then_some(Misfit::Window(self.size))
        })
    }

    /// Returns the output shape: `channels`, and the height and width of the grid of positions of the window on the first input.
    pub(super) fn shape(self, inputs: &[&[usize]], channels: usize) -> Vec<usize> {
        let outputs = |side| self.padding.along(side, self.size, self.stride).2;
        vec![channels, outputs(inputs[0][1]), outputs(inputs[0][2])]
    }

    /// Returns the window over an image of shape `x`, in the form that kernels use.
    pub(super) fn on(self, x: Shape) -> Pixels {
        let Self { size, stride, padding } = self;
        let (top, ..) = padding.along(x.h, size, stride);
        let (left, ..) = padding.along(x.w, size, stride);
        Pixels { size, stride, top, left }
    }

    /// Returns the padding (before, after) along each of `sides`.
    #[cfg(any(feature = "gpu", test))]
    pub(super) fn zeros(self, sides: [usize; 2]) -> [(usize, usize); 2] {
        sides.map(|side| {
            let (before, after, _) = self.padding.along(side, self.size, self.stride);
            (before, after)
        })
    }

    /// Returns the stride as a diagram shows it, or `None` if it is 1.
    pub(super) fn stride_label(self) -> Option<LabelPart> {
        (self.stride != 1).then_some(LabelPart::Number("stride", self.stride as f64))
    }

    /// Returns the ONNX operator `name` with the attributes of this window.
    pub(super) fn operator(self, name: &'static str, inputs: &[&[usize]]) -> Operator {
        let ints = |values: &[usize]| Attribute::Ints(values.iter().map(|value| *value as i64).collect());
        let (top, bottom, _) = self.padding.along(inputs[0][1], self.size, self.stride);
        let (left, right, _) = self.padding.along(inputs[0][2], self.size, self.stride);
        Operator::new(name)
            .with("kernel_shape", ints(&[self.size, self.size]))
            .with("strides", ints(&[self.stride, self.stride]))
            .with("pads", ints(&[top, left, bottom, right]))
    }
}
