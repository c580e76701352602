//! What max-pooling and average pooling have in common.

use super::{
    label::LabelPart,
    notation::{Default, Setting, Values},
    operation::{Backward, Keeps, Map, Operation, Run},
    window::{SIDE, Window},
};
use crate::{
    network::{
        kernels::{
            buffer::Buffer,
            pool::{Pool, PoolKind},
        },
        padding::Padding,
        pass::Pass,
    },
    params::Domain,
};

/// The settings of a pooling layer.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::new("size", SIDE, "Height and width of a window.").moving_sides(),
    Setting::new("stride", SIDE, "Pixels from one window to the next.").moving_sides().or(Default::Same("size")),
    Setting::new("padding", Domain::Word(Padding::NAMES), "How the edges are padded.")
        .moving_sides()
        .or(Default::Word("valid")),
];

/// Returns the window of a pooling layer with these settings.
pub(super) fn window(values: &Values) -> Window {
    Window { size: values.whole("size"), stride: values.whole("stride"), padding: values.word("padding") }
}

/// Returns the settings that a diagram shows.
pub(super) fn label(window: Window) -> Vec<LabelPart> {
    let padding = LabelPart::Word(window.padding.name());
    [padding, LabelPart::Number("size", window.size as f64)].into_iter().chain(window.stride_label()).collect()
}

impl Operation for Pool {
    fn keeps(&self, _pass: Pass) -> Keeps {
        let is_max = self.kind == PoolKind::Max;
        Keeps { input: is_max, output: is_max }
    }

    fn forward(&mut self, run: Run, inputs: &[Map<'_>], y: &mut [f32]) {
        Pool::forward(self, run.isa, inputs[0].values, y);
    }

    fn backward(&mut self, back: &mut Backward<'_>, dy: Buffer) {
        let (mut dx, is_new) = back.take();
        if is_new && !self.tiles() {
            dx.fill(0.0);
        }
        let maps = if self.kind == PoolKind::Max { (back.x(), back.y()) } else { (&[][..], &[][..]) };
        Pool::backward(self, back.run.isa, maps, &dy, is_new, &mut dx);
        back.put(dx);
        back.buffers.give(dy);
    }
}
