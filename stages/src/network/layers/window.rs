//! A square window that moves over an image: what convolution and pooling have in common.

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

/// What the side of a window, and a stride, may be.
pub(super) const SIDE: Domain = Domain::Whole(1..=64);

/// A window of `size` x `size` pixels every `stride` pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) padding: Padding,
}

impl Window {
    /// Returns why the window cannot move over `inputs`.
    pub(super) fn misfit(self, inputs: &[&[usize]]) -> Option<Misfit> {
        let too_small = |side: &usize| *side < self.size;
        Misfit::of_images(inputs).or_else(|| {
            let is_too_large = self.padding == Padding::Valid && inputs[0][1..].iter().any(too_small);
            is_too_large.then_some(Misfit::Window(self.size))
        })
    }

    /// Returns the shape of what `channels` give for each place of the window on the first input.
    pub(super) fn shape(self, inputs: &[&[usize]], channels: usize) -> Vec<usize> {
        let outputs = |side| self.padding.along(side, self.size, self.stride).2;
        vec![channels, outputs(inputs[0][1]), outputs(inputs[0][2])]
    }

    /// Returns the window as kernels know it.
    pub(super) fn on(self, x: Shape) -> Pixels {
        let Self { size, stride, padding } = self;
        let (top, ..) = padding.along(x.h, size, stride);
        let (left, ..) = padding.along(x.w, size, stride);
        Pixels { size, stride, top, left }
    }

    /// Returns the zeros (before, after) each row and each column.
    #[cfg(any(feature = "cuda", test))]
    pub(super) fn zeros(self, sides: [usize; 2]) -> [(usize, usize); 2] {
        sides.map(|side| {
            let (before, after, _) = self.padding.along(side, self.size, self.stride);
            (before, after)
        })
    }

    /// Returns how a diagram shows the stride, if it is not 1.
    pub(super) fn stride_label(self) -> Option<LabelPart> {
        (self.stride != 1).then_some(LabelPart::Number("stride", self.stride as f64))
    }

    /// Returns the operator of ONNX that looks through the window.
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
