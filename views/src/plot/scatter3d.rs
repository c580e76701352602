//! A cloud of points, after Blagg: three columns as axes, and a fourth as marks.

use maud::{Markup, html};

use super::{
    axis::ColumnAxis,
    shade::Shade,
    svg::{Picture, px, shortened},
    table::{PlottedColumn, Table},
};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 560.0;
const SCALE: f64 = 300.0;
/// The angle of the view above the floor, in degrees.
const ELEVATION: f64 = 24.0;

/// The default rotation of the box about its vertical axis, in degrees.
pub(crate) const TURN: f64 = -55.0;

/// Projects points of a box with sides of 1 into the picture: rotated, then tilted, without perspective.
struct View {
    turn: (f64, f64),
    tilt: (f64, f64),
    middle: (f64, f64),
}

impl View {
    fn new(turn: f64, middle: (f64, f64)) -> Self {
        Self { turn: turn.to_radians().sin_cos(), tilt: ELEVATION.to_radians().sin_cos(), middle }
    }

    /// Returns the x and y in the picture, and the depth, which is larger for nearer points.
    fn at(&self, [x, y, z]: [f64; 3]) -> (f64, f64, f64) {
        let (x, y, z) = (x - 0.5, y - 0.5, z - 0.5);
        let (across, away) = (x * self.turn.1 - y * self.turn.0, x * self.turn.0 + y * self.turn.1);
        let up = z * self.tilt.1 + away * self.tilt.0;
        (self.middle.0 + SCALE * across, self.middle.1 - SCALE * up, z * self.tilt.0 - away * self.tilt.1)
    }

    fn line(&self, from: [f64; 3], to: [f64; 3]) -> String {
        let ((a, b, _), (c, d, _)) = (self.at(from), self.at(to));
        format!("M{} {}L{} {}", px(a), px(b), px(c), px(d))
    }
}

/// Returns the picture, with `x` and `y` on the floor and `z` upwards. The box is rotated by `turn` degrees.
pub(super) fn draw(table: &Table, [x, y, z]: [&PlottedColumn; 3], colour: &PlottedColumn, turn: f64) -> Picture {
    let shade = Shade::new(table, colour);
    let top = shade.legend_height(WIDTH - 16.0);
    let view = View::new(turn, (WIDTH / 2.0, top + (HEIGHT - top) / 2.0 - 8.0));
    let mut points: Vec<([f64; 3], usize, usize)> = (0..table.rows.len())
        .filter_map(|row| Some(([x.at(row)?, y.at(row)?, z.at(row)?], shade.of[row]?, row)))
        .collect();
    // Farther points are drawn first.
    points.sort_by(|a, b| view.at(a.0).2.total_cmp(&view.at(b.0).2));
    // The walls that are drawn are those behind the cloud.
    let far = |axis: usize| {
        let end = |side: f64| view.at(std::array::from_fn(|i| if i == axis { side } else { 0.5 })).2;
        if end(0.0) < end(1.0) { 0.0 } else { 1.0 }
    };
    let (far_x, far_y) = (far(0), far(1));
    let best = table.best().and_then(|row| Some([x.at(row)?, y.at(row)?, z.at(row)?]));
    let body = html! {
        (shade.legend(8.0, 0.0, WIDTH - 16.0))
        (walls(&view, [&x.axis, &y.axis, &z.axis], far_x, far_y))
        (names(&view, [x, y, z], far_x, far_y))
        @for (place, step, row) in &points {
            path.grid d=(view.line(*place, [place[0], place[1], 0.0])) {}
            @let (at_x, at_y, _) = view.at(*place);
            (shade.mark(*step, &[(at_x, at_y)], &[*row]))
        }
        @if let Some((at_x, at_y, _)) = best.map(|place| view.at(place)) { circle.ring cx=(px(at_x)) cy=(px(at_y)) r="7" {} }
    };
    let title = format!("{}, {} and {}, marked by {}", x.name, y.name, z.name, colour.name);
    let note = "A line connects each point to the floor. The ring is the best trial.".to_owned();
    Picture { title, width: WIDTH, height: HEIGHT, body, note }
}

/// Returns the floor and the two walls behind the cloud, with lines at the ticks.
fn walls(view: &View, axes: [&ColumnAxis; 3], far_x: f64, far_y: f64) -> Markup {
    let mut lines = String::new();
    for (place, _) in &axes[0].ticks {
        lines += &view.line([*place, 0.0, 0.0], [*place, 1.0, 0.0]);
        lines += &view.line([*place, far_y, 0.0], [*place, far_y, 1.0]);
    }
    for (place, _) in &axes[1].ticks {
        lines += &view.line([0.0, *place, 0.0], [1.0, *place, 0.0]);
        lines += &view.line([far_x, *place, 0.0], [far_x, *place, 1.0]);
    }
    for (place, _) in &axes[2].ticks {
        lines += &view.line([far_x, 0.0, *place], [far_x, 1.0, *place]);
        lines += &view.line([0.0, far_y, *place], [1.0, far_y, *place]);
    }
    let mut edges = String::new();
    for side in [0.0, 1.0] {
        edges += &view.line([side, 0.0, 0.0], [side, 1.0, 0.0]);
        edges += &view.line([0.0, side, 0.0], [1.0, side, 0.0]);
        edges += &view.line([far_x, side, 0.0], [far_x, side, 1.0]);
        edges += &view.line([side, far_y, 0.0], [side, far_y, 1.0]);
    }
    edges += &view.line([far_x, 0.0, 1.0], [far_x, 1.0, 1.0]);
    edges += &view.line([0.0, far_y, 1.0], [1.0, far_y, 1.0]);
    html! {
        path.grid d=(lines) {}
        path.frame d=(edges) {}
    }
}

/// Returns the labels of the ticks and the titles of the axes, at the near edges of the floor and at one vertical edge.
fn names(view: &View, [x, y, z]: [&PlottedColumn; 3], far_x: f64, far_y: f64) -> Markup {
    let (near_x, near_y) = (1.0 - far_x, 1.0 - far_y);
    // A point outside of the box, `by` away from a side.
    let out = |near: f64, by: f64| near + if near > 0.5 { by } else { -by };
    let text = |place: [f64; 3], text: &str| {
        let (at_x, at_y, _) = view.at(place);
        let anchor = match at_x - view.middle.0 {
            from if from.abs() < 40.0 => "middle",
            from if from < 0.0 => "end",
            _ => "start",
        };
        html! { text.small x=(px(at_x)) y=(px(at_y + 4.0)) text-anchor=(anchor) { (text) } }
    };
    // Of the two vertical edges at the side of a wall, the one farther left.
    let edges = [[far_x, near_y], [near_x, far_y]];
    let left = if view.at([edges[0][0], edges[0][1], 0.5]).0 < view.at([edges[1][0], edges[1][1], 0.5]).0 {
        edges[0]
    } else {
        edges[1]
    };
    let (z_x, z_y, _) = view.at([left[0], left[1], 0.5]);
    let (name_x, name_y) = (px(z_x - 58.0), px(z_y));
    html! {
        @for (place, tick) in &x.axis.ticks { (text([*place, out(near_y, 0.05), 0.0], &shortened(tick, 10))) }
        @for (place, tick) in &y.axis.ticks { (text([out(near_x, 0.05), *place, 0.0], &shortened(tick, 10))) }
        (along(view, [0.0, near_y, 0.0], [1.0, near_y, 0.0], &x.title))
        (along(view, [near_x, 0.0, 0.0], [near_x, 1.0, 0.0], &y.title))
        @for (place, tick) in &z.axis.ticks {
            @let (at_x, at_y, _) = view.at([left[0], left[1], *place]);
            text.small x=(px(at_x - 7.0)) y=(px(at_y + 4.0)) text-anchor="end" { (shortened(tick, 10)) }
        }
        text.axis x=(name_x) y=(name_y) text-anchor="middle" transform=(format!("rotate(-90 {name_x} {name_y})")) { (shortened(&z.title, 40)) }
    }
}

/// Returns the name of an axis of the floor, parallel to it and beyond its ticks.
fn along(view: &View, from: [f64; 3], to: [f64; 3], name: &str) -> Markup {
    let ((x0, y0, _), (x1, y1, _)) = (view.at(from), view.at(to));
    // From left to right, so that the text is not upside down.
    let (dx, dy) = if x1 < x0 { (x0 - x1, y0 - y1) } else { (x1 - x0, y1 - y0) };
    let length = dx.hypot(dy).max(1.0);
    // Ticks lie beside a steep axis and below a flat one. Both near axes are at the lower side of the floor.
    let distance = 26.0 + 30.0 * dy.abs() / length;
    let (x, y) = ((x0 + x1) / 2.0 - distance * dy / length, (y0 + y1) / 2.0 + distance * dx / length);
    let (x, y, turn) = (px(x), px(y), px(dy.atan2(dx).to_degrees()));
    html! { text.axis x=(x) y=(y) text-anchor="middle" transform=(format!("rotate({turn} {x} {y})")) { (shortened(name, (length / 6.6) as usize)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projection_keeps_up_and_depth() {
        let view = View::new(0.0, (0.0, 0.0));
        let (x, y, _) = view.at([1.0, 0.5, 0.5]);
        assert!((x - SCALE / 2.0).abs() < 1e-9 && y.abs() < 1e-9);
        assert!(view.at([0.5, 0.5, 1.0]).1 < view.at([0.5, 0.5, 0.0]).1);
        assert!(view.at([0.5, 1.0, 0.5]).2 < view.at([0.5, 0.0, 0.5]).2);
    }
}
