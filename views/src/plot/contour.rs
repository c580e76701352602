//! The objective over two hyperparameters: the trials, and a smoothed surface in their neighbourhood.

use maud::{Markup, html};

use super::{
    frame::Frame,
    scatter_matrix::note,
    shade::Shade,
    svg::{Picture, px},
    table::{PlottedColumn, Table},
};
use crate::text::significant;

const FRAME: Frame = Frame { left: 78.0, right: 640.0, top: 62.0, bottom: 440.0 };
/// The number of cells of the surface along each axis.
const CELLS: usize = 44;
/// The standard deviation of the smoothing kernel, where an axis has the length 1.
const BANDWIDTH: f64 = 0.11;
/// The least sum of weights at which the surface is drawn.
const NEAR: f64 = 0.08;
/// The number of contour lines.
const LINES: usize = 4;

/// Returns the picture over the columns `x` and `y`.
pub(super) fn draw(table: &Table, x: &PlottedColumn, y: &PlottedColumn) -> Picture {
    let shade = Shade::new(table, &table.objective);
    let samples: Vec<[f64; 3]> =
        (0..table.rows.len()).filter_map(|row| Some([x.at(row)?, y.at(row)?, table.objective.number(row)?])).collect();
    let surface = Surface::new(&samples);
    let best = table.best();
    let place = |row: usize| Some((FRAME.x(x.at(row)?), FRAME.y(y.at(row)?)));
    let width = FRAME.right + 20.0;
    let body = html! {
        (shade.legend(8.0, 0.0, width - 16.0))
        (surface.areas(table))
        (FRAME.axes(&x.axis, &y.axis, [true, true]))
        @for level in surface.levels() { (surface.line(level)) }
        (shade.marks(&(0..table.rows.len()).map(place).collect::<Vec<_>>()))
        @if let Some((x, y)) = best.and_then(place) { circle.ring cx=(px(x)) cy=(px(y)) r="6.5" {} }
        (FRAME.x_title(&x.title))
        (FRAME.y_title(&y.title, 62.0))
    };
    let title = format!("{} over {} and {}", table.objective.name, x.name, y.name);
    let note = format!(
        "{} The surface is a mean of trials weighted by their distance in these two hyperparameters only. It is blank where no \
         trial is near.",
        note(best.is_some())
    );
    Picture { title, width, height: FRAME.bottom + 46.0, body, note }
}

/// Heights on a grid with `CELLS + 1` points along each axis. NaN where no sample is near.
struct Surface {
    heights: Vec<f64>,
    low: f64,
    high: f64,
}

impl Surface {
    /// Returns the surface for `samples` (x, y, height): the Nadaraya-Watson estimate with a Gaussian kernel.
    fn new(samples: &[[f64; 3]]) -> Self {
        let height = |i: usize| {
            let (x, y) = ((i % (CELLS + 1)) as f64 / CELLS as f64, (i / (CELLS + 1)) as f64 / CELLS as f64);
            let (mut weights, mut sum) = (0.0, 0.0);
            for [at_x, at_y, height] in samples {
                let weight = (-((at_x - x).powi(2) + (at_y - y).powi(2)) / (2.0 * BANDWIDTH * BANDWIDTH)).exp();
                weights += weight;
                sum += weight * height;
            }
            if weights < NEAR { f64::NAN } else { sum / weights }
        };
        let heights = (0..(CELLS + 1) * (CELLS + 1)).map(height).collect();
        let fold = |start, pick: fn(f64, f64) -> f64| samples.iter().map(|sample| sample[2]).fold(start, pick);
        Self { heights, low: fold(f64::INFINITY, f64::min), high: fold(f64::NEG_INFINITY, f64::max) }
    }

    fn at(&self, x: usize, y: usize) -> f64 {
        self.heights[y * (CELLS + 1) + x]
    }

    /// Returns the step of the colour ramp for a cell.
    fn step(&self, x: usize, y: usize, table: &Table) -> Option<usize> {
        let mean = (self.at(x, y) + self.at(x + 1, y) + self.at(x, y + 1) + self.at(x + 1, y + 1)) / 4.0;
        let share = (mean - self.low) / (self.high - self.low);
        let share = if table.rises { share } else { 1.0 - share };
        share.is_finite().then(|| ((share * 5.0) as usize).min(4))
    }

    /// Returns the cells as areas. Neighbours in a row with the same step are joined.
    fn areas(&self, table: &Table) -> Markup {
        let mut paths = vec![String::new(); 5];
        for y in 0..CELLS {
            let mut x = 0;
            while x < CELLS {
                let step = self.step(x, y, table);
                let from = x;
                while x < CELLS && self.step(x, y, table) == step {
                    x += 1;
                }
                if let Some(step) = step {
                    let place = |i: usize| i as f64 / CELLS as f64;
                    let (left, right) = (FRAME.x(place(from)), FRAME.x(place(x)));
                    let (top, bottom) = (FRAME.y(place(y + 1)), FRAME.y(place(y)));
                    paths[step] += &format!("M{} {}H{}V{}H{}Z", px(left), px(top), px(right), px(bottom), px(left));
                }
            }
        }
        html! {
            @for (step, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
                path class=(format!("area r{step}")) d=(path) shape-rendering="crispEdges" {}
            }
        }
    }

    fn levels(&self) -> impl Iterator<Item = f64> {
        let (low, high) = (self.low, self.high);
        (1..=LINES).map(move |i| low + (high - low) * i as f64 / (LINES + 1) as f64)
    }

    /// Returns the contour line at a height, found by marching squares, with one label.
    fn line(&self, level: f64) -> Markup {
        let mut pieces = Vec::new();
        for y in 0..CELLS {
            for x in 0..CELLS {
                // The corners in order around the cell. The line crosses an edge whose ends are on different sides of the level.
                let corners = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)];
                let heights = corners.map(|(x, y)| self.at(x, y));
                if heights.iter().any(|height| height.is_nan()) {
                    continue;
                }
                let crossed = (0..4).filter(|i| (heights[*i] < level) != (heights[(i + 1) % 4] < level));
                let places: Vec<(f64, f64)> = crossed
                    .map(|i| {
                        let (a, b) = (corners[i], corners[(i + 1) % 4]);
                        let share = (level - heights[i]) / (heights[(i + 1) % 4] - heights[i]);
                        let along = |a: usize, b: usize| (a as f64 + share * (b as f64 - a as f64)) / CELLS as f64;
                        (FRAME.x(along(a.0, b.0)), FRAME.y(along(a.1, b.1)))
                    })
                    .collect();
                pieces.extend(places.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
        }
        let path: String =
            pieces.iter().map(|((a, b), (c, d))| format!("M{} {}L{} {}", px(*a), px(*b), px(*c), px(*d))).collect();
        let middle = pieces.get(pieces.len() / 2).map(|(place, _)| *place);
        html! {
            @if let Some((x, y)) = middle {
                path.rule d=(path) {}
                text.small x=(px(x)) y=(px(y - 3.0)) text-anchor="middle" { (significant(level, 3)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surface_follows_near_samples_and_is_blank_elsewhere() {
        let surface = Surface::new(&[[0.1, 0.1, 3.0], [0.12, 0.1, 3.0], [0.5, 0.5, 1.0]]);
        let at = |x: f64, y: f64| surface.at((x * CELLS as f64) as usize, (y * CELLS as f64) as usize);
        assert!((at(0.1, 0.1) - 3.0).abs() < 0.01 && (at(0.5, 0.5) - 1.0).abs() < 0.01);
        assert!(at(1.0, 0.0).is_nan());
    }
}
