//! The diagram of a network: a box for every layer with its output shape and its number of parameters.

use maud::html;
use pipe_stages::network::{Architecture, Layer, layers::label::LabelPart};

use super::{
    layout::{Cell, Layout, layout},
    svg::{Picture, polyline, px, shortened},
};
use crate::text::{grouped, significant};

/// A diagram with the position of everything in it. Lengths are in CSS pixels.
pub struct Diagram {
    title: String,
    boxes: Vec<LayerBox>,
    wires: Vec<Vec<(f64, f64)>>,
    width: f64,
    height: f64,
    box_width: f64,
}

/// The box of a layer, with two lines of text. Each line has a text at the left and one at the right.
struct LayerBox {
    x: f64,
    y: f64,
    lines: [(String, String); 2],
    has_weights: bool,
}

const BOX: f64 = 40.0;
const GAP: f64 = 22.0;
const LANE_GAP: f64 = 24.0;
const GUTTER: f64 = 36.0;
const EDGE: f64 = 16.0;
const TOP: f64 = 44.0;
/// The width of a character in a box.
const LETTER: f64 = 7.0;

impl Diagram {
    /// Returns the diagram of a network called `name`.
    pub fn new(name: &str, network: &Architecture) -> Self {
        let index =
            |input: &String| network.layers.iter().position(|layer| layer.name == *input).map_or(0, |at| at + 1);
        let inputs: Vec<Vec<usize>> = std::iter::once(Vec::new())
            .chain(network.layers.iter().map(|layer| layer.inputs.iter().map(index).collect()))
            .collect();
        let texts = texts(network);
        let letters =
            texts.iter().flatten().map(|(left, right)| left.chars().count() + right.chars().count() + 2).max();
        let box_width = LETTER * letters.unwrap_or(0) as f64 + 18.0;
        let layout = layout(&inputs);
        let grid = Grid { layout: &layout, box_width };
        let has_weights =
            std::iter::once(false).chain(network.layers.iter().map(|layer| layer.parameters + layer.statistics > 0));
        let boxes = layout.nodes.iter().zip(texts).zip(has_weights).map(|((place, lines), has_weights)| {
            let (x, y) = grid.corner(*place);
            LayerBox { x, y, lines, has_weights }
        });
        let title = format!(
            "{name}: {} layers, {} parameters, {} million operations for an image",
            network.layers.len(),
            grouped(network.parameters),
            significant(network.flops as f64 / 1e6, 3)
        );
        let width = grid.left(layout.lanes.len()) - GUTTER + EDGE;
        Self {
            width: width.max(LETTER * title.chars().count() as f64 + 2.0 * EDGE),
            height: TOP + layout.rows as f64 * (BOX + GAP) - GAP + EDGE,
            boxes: boxes.collect(),
            wires: layout.lines.iter().map(|line| grid.wire(line)).collect(),
            title,
            box_width,
        }
    }

    /// Returns the diagram as SVG.
    pub fn draw(&self) -> Picture {
        let body = html! {
            text.mono x=(px(EDGE)) y="22" { (self.title) }
            @for wire in &self.wires {
                path.wire d=(polyline(wire.iter().copied())) {}
                path.tip d=(polyline(tip(wire).into_iter()) + "Z") {}
            }
            @for one in &self.boxes {
                rect class=(if one.has_weights { "box weights" } else { "box" }) x=(px(one.x)) y=(px(one.y))
                    width=(px(self.box_width)) height=(px(BOX)) rx="3" {}
                @for (i, (left, right)) in one.lines.iter().enumerate() {
                    @let y = px(one.y + 16.0 + 16.0 * i as f64);
                    text class=(if i == 0 { "mono" } else { "mono dim" }) x=(px(one.x + 8.0)) y=(y) { (left) }
                    text.mono x=(px(one.x + self.box_width - 8.0)) y=(y) text-anchor="end" { (right) }
                }
            }
        };
        let note = "Boxes show a layer's name, kind, output shape [channels, height, width] or [units] and number of parameters. \
                    Boxes of layers with weights are filled."
            .to_owned();
        Picture { title: self.title.clone(), width: self.width, height: self.height, body, note }
    }
}

/// Returns the arrowhead at the end of a wire, which points down.
fn tip(wire: &[(f64, f64)]) -> [(f64, f64); 3] {
    let (x, y) = wire[wire.len() - 1];
    [(x, y), (x - 4.0, y - 7.0), (x + 4.0, y - 7.0)]
}

/// Returns the two lines of text for the input and each layer.
fn texts(network: &Architecture) -> Vec<[(String, String); 2]> {
    let shape = |sides: &[usize]| format!("[{}]", sides.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    let input = [("input".to_owned(), shape(&network.input)), ("image".to_owned(), String::new())];
    let layer = |layer: &Layer| {
        let head = network.heads.iter().find(|head| head.name == layer.name);
        let head = head.map(|head| format!(" -> {:?}", head.output)).unwrap_or_default();
        let parameters = layer.parameters + layer.statistics;
        let parameters = if parameters > 0 { grouped(parameters) } else { String::new() };
        let kind = format!("{}{head}", kind(layer));
        [(shortened(&layer.name, 30), shape(&layer.shape)), (shortened(&kind, 34), parameters)]
    };
    std::iter::once(input).chain(network.layers.iter().map(layer)).collect()
}

/// Returns the kind of a layer with the settings that its shape does not show: `conv kernel 3 same`.
fn kind(layer: &Layer) -> String {
    let setting = |part: LabelPart| match part {
        LabelPart::Word(word) => word.to_owned(),
        LabelPart::Number(name, value) => format!("{name} {}", number(value)),
    };
    let settings = layer.kind.label().into_iter().map(setting);
    std::iter::once(layer.kind.name().to_owned()).chain(settings).collect::<Vec<_>>().join(" ")
}

/// Returns a number with at most five significant digits, unless it is an integer.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { value.to_string() } else { significant(value, 5) }
}

/// Converts places to pixels.
struct Grid<'a> {
    layout: &'a Layout,
    box_width: f64,
}

impl Grid<'_> {
    /// Returns the x of the left edge of a column.
    fn left(&self, column: usize) -> f64 {
        let width = |lanes: &usize| *lanes as f64 * (self.box_width + LANE_GAP) - LANE_GAP + GUTTER;
        EDGE + self.layout.lanes[..column].iter().map(width).sum::<f64>()
    }

    /// Returns the upper left corner of the box at a place.
    fn corner(&self, place: Cell) -> (f64, f64) {
        let x = self.left(place.column) + place.lane as f64 * (self.box_width + LANE_GAP);
        (x, TOP + place.row as f64 * (BOX + GAP))
    }

    /// Returns the corners of a line. It runs down in lanes, across between rows, and up to the top of the next column.
    fn wire(&self, line: &[Cell]) -> Vec<(f64, f64)> {
        let middle = |place: Cell| self.corner(place).0 + self.box_width / 2.0;
        let mut corners = vec![(middle(line[0]), self.corner(line[0]).1 + BOX)];
        for pair in line.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let (below, above) = (self.corner(from).1 + BOX + GAP / 2.0, self.corner(to).1 - GAP / 2.0);
            if from.column != to.column {
                let gutter = self.left(to.column) - GUTTER / 2.0;
                corners.extend([(middle(from), below), (gutter, below), (gutter, above), (middle(to), above)]);
            } else if from.lane != to.lane {
                corners.extend([(middle(from), below), (middle(to), below)]);
            }
        }
        let last = line[line.len() - 1];
        corners.push((middle(last), self.corner(last).1));
        corners
    }
}

#[cfg(test)]
mod tests {
    use pipe_stages::network::{
        Builder, Padding,
        architecture::Head,
        layers::{Add, BatchNorm, Conv, Dropout, Flatten, MaxPool},
    };

    use super::*;

    fn network() -> Architecture {
        let mut builder = Builder::new([3, 8, 8]);
        let conv = |kernel| Conv { filters: 4, kernel, stride: 1, padding: Padding::Same };
        let first = builder.add(conv(3), &["input"]);
        let side = builder.add(conv(1), &[&first]);
        let sum = builder.add(Add, &[&first, &side]);
        let flat = builder.add(Flatten, &[&sum]);
        builder.finish(&flat, &[Head { name: "fine".into(), classes: 3, output: Default::default() }]).unwrap()
    }

    #[test]
    fn every_layer_has_a_box_with_its_shape_and_parameters() {
        let svg = Diagram::new("trial 3", &network()).draw().document();
        for part in [
            "trial 3: 5 layers, 903 parameters",
            ">conv2d_1<",
            ">conv kernel 3 same<",
            ">[4, 8, 8]<",
            ">112<",
            ">add_1<",
            ">dense -&gt; Softmax<",
        ] {
            assert!(svg.contains(part), "no `{part}` in {svg}");
        }
        assert_eq!((svg.matches("<rect class=\"box").count(), svg.matches("class=\"wire\"").count()), (6, 6));
    }

    #[test]
    fn the_kind_of_a_layer_is_shown_with_its_settings() {
        let mut builder = Builder::new([3, 8, 8]);
        let at = builder.add(Conv { filters: 4, kernel: 3, stride: 2, padding: Padding::Valid }, &["input"]);
        let at = builder.add(MaxPool { size: 2, stride: 2, padding: Padding::Same }, &[&at]);
        let at = builder.add(BatchNorm { momentum: 0.9, epsilon: 0.001 }, &[&at]);
        let at = builder.add(Dropout { p: 0.312_345_67 }, &[&at]);
        let flat = builder.add(Flatten, &[&at]);
        let network = builder.finish(&flat, &[Head { name: "fine".into(), classes: 3, output: Default::default() }]);
        let kinds: Vec<_> = network.unwrap().layers.iter().map(kind).collect();
        let expected = [
            "conv kernel 3 valid stride 2",
            "max_pool same size 2 stride 2",
            "batch_norm momentum 0.9",
            "dropout p 0.31235",
            "flatten",
            "dense",
        ];
        assert_eq!(kinds, expected);
    }
}
