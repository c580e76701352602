//! The rectangle of a plot with its axes, ticks and titles.

use maud::{Markup, html};

use super::{
    axis::ColumnAxis,
    svg::{px, shortened},
};

/// The rectangle of a plot in pixels. Positions along both of its axes go from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    pub(super) fn x(&self, place: f64) -> f64 {
        self.left + place * (self.right - self.left)
    }

    pub(super) fn y(&self, place: f64) -> f64 {
        self.bottom - place * (self.bottom - self.top)
    }

    /// Returns the border with the ticks of both axes. `texts` says whether the ticks of the x and the y axis have labels.
    pub(super) fn axes(&self, x: &ColumnAxis, y: &ColumnAxis, texts: [bool; 2]) -> Markup {
        // The labels below the axis share its width.
        let room = (self.right - self.left) / x.ticks.len().max(1) as f64 / 6.4;
        html! {
            @for (place, text) in &y.ticks {
                line.grid x1=(px(self.left)) x2=(px(self.right)) y1=(px(self.y(*place))) y2=(px(self.y(*place))) {}
                @if texts[1] {
                    text.small x=(px(self.left - 6.0)) y=(px(self.y(*place) + 4.0)) text-anchor="end" { (shortened(text, 9)) }
                }
            }
            @for (place, text) in &x.ticks {
                line.frame x1=(px(self.x(*place))) x2=(px(self.x(*place))) y1=(px(self.bottom)) y2=(px(self.bottom + 4.0)) {}
                @if texts[0] {
                    text.small x=(px(self.x(*place))) y=(px(self.bottom + 16.0)) text-anchor="middle" { (shortened(text, (room as usize).max(3))) }
                }
            }
            path.frame d=(format!("M{} {}V{}H{}", px(self.left), px(self.top), px(self.bottom), px(self.right))) {}
        }
    }

    /// Returns the title of the x axis.
    pub(super) fn x_title(&self, title: &str) -> Markup {
        let x = px((self.left + self.right) / 2.0);
        html! { text.axis x=(x) y=(px(self.bottom + 34.0)) text-anchor="middle" { (title) } }
    }

    /// Returns the title of the y axis, `distance` pixels to the left of it.
    pub(super) fn y_title(&self, title: &str, distance: f64) -> Markup {
        let (x, y) = (px(self.left - distance), px((self.top + self.bottom) / 2.0));
        html! { text.axis x=(x) y=(y) text-anchor="middle" transform=(format!("rotate(-90 {x} {y})")) { (title) } }
    }
}
