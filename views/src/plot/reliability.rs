//! A reliability diagram: accuracy by confidence, and how many predictions have it.

use maud::html;

use super::svg::{Picture, px};
use crate::{
    evaluation::{BINS, Bin, Head},
    text::{counted, grouped, percent, significant},
};

const LEFT: f64 = 60.0;
const SIDE: f64 = 360.0;
const TOP: f64 = 30.0;
const GAP: f64 = 12.0;
/// The height of the histogram below the diagram.
const COUNTS: f64 = 62.0;
const TICKS: [f64; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// Returns the reliability diagram of a head, or None without predictions.
pub fn draw(head: &Head) -> Option<Picture> {
    let reliability = &head.reliability;
    let most = f64::from(reliability.bins.iter().map(|bin| bin.images).max().filter(|most| *most > 0)?);
    let (error, overconfidence) = (reliability.error()?, reliability.overconfidence()?);
    let (bottom, floor) = (TOP + SIDE, TOP + SIDE + GAP + COUNTS);
    let (x, y) = (|share: f64| LEFT + SIDE * share, |share: f64| bottom - SIDE * share);
    let width_of_bin = SIDE / BINS as f64;
    let left_of = |bin: usize| LEFT + width_of_bin * bin as f64;
    let tick = |share: f64| format!("{} %", significant(100.0 * share, 3));
    let height = |bin: &Bin| COUNTS * f64::from(bin.images) / most;
    let body = html! {
        rect.kind.k0 x=(px(LEFT)) y="8" width="18" height="11" {}
        text x=(px(LEFT + 24.0)) y="18" { "accuracy" }
        rect.gap x=(px(LEFT + 104.0)) y="8" width="18" height="11" {}
        text x=(px(LEFT + 128.0)) y="18" { "distance to the mean confidence" }
        @for share in TICKS {
            line.grid x1=(px(LEFT)) x2=(px(LEFT + SIDE)) y1=(px(y(share))) y2=(px(y(share))) {}
            text x=(px(LEFT - 8.0)) y=(px(y(share) + 4.0)) text-anchor="end" { (tick(share)) }
            text x=(px(x(share))) y=(px(floor + 17.0)) text-anchor="middle" { (tick(share)) }
        }
        @for (at, bin) in reliability.bins.iter().enumerate() {
            @if let Some((accuracy, confidence)) = bin.accuracy().zip(bin.confidence()) {
                g {
                    title { (told(bin)) }
                    @if accuracy > 0.0 {
                        rect.kind.k0 x=(px(left_of(at) + 1.0)) width=(px(width_of_bin - 2.0)) y=(px(y(accuracy))) height=(px(SIDE * accuracy)) {}
                    }
                    @let (high, low) = (accuracy.max(confidence), accuracy.min(confidence));
                    rect.gap x=(px(left_of(at) + 1.0)) width=(px(width_of_bin - 2.0)) y=(px(y(high))) height=(px(SIDE * (high - low))) {}
                    rect.bar x=(px(left_of(at) + 1.0)) width=(px(width_of_bin - 2.0)) y=(px(floor - height(bin))) height=(px(height(bin))) {}
                }
            }
        }
        path.rule d=(format!("M{} {}L{} {}", px(x(0.0)), px(y(0.0)), px(x(1.0)), px(y(1.0)))) {}
        path.frame d=(format!("M{LEFT} {TOP}V{}H{}M{LEFT} {}V{}H{}", px(bottom), px(LEFT + SIDE), px(bottom + GAP), px(floor), px(LEFT + SIDE))) {}
        text x=(px(LEFT - 8.0)) y=(px(bottom + GAP + 9.0)) text-anchor="end" { (most) }
        text.axis x=(px(LEFT + SIDE / 2.0)) y=(px(floor + 37.0)) text-anchor="middle" { "confidence: the probability of what was said" }
        (rotated("accuracy", y(0.5)))
        (rotated("images", floor - COUNTS / 2.0))
    };
    let direction = if overconfidence >= 0.0 { "surer than it is right" } else { "less sure than it is right" };
    let title = format!("Reliability of {}: expected calibration error {}", head.name, percent(error));
    let note = format!(
        "Expected calibration error {}: the mean over {} predictions of |accuracy − mean confidence| of their bin, with {BINS} bins of equal \
         width (Guo et al. 2017). On the whole the network is {} percentage points {direction}.",
        percent(error),
        grouped(reliability.images().into()),
        significant(100.0 * overconfidence.abs(), 3),
    );
    Some(Picture { title, width: LEFT + SIDE + 20.0, height: floor + 46.0, body, note })
}

fn told(bin: &Bin) -> String {
    let share = |share: Option<f64>| share.map(percent).unwrap_or_default();
    let images = counted(bin.images as usize, "image");
    format!("{images}: {} right, mean confidence {}", share(bin.accuracy()), share(bin.confidence()))
}

fn rotated(text: &str, y: f64) -> maud::Markup {
    html! { text.axis x="14" y=(px(y)) text-anchor="middle" transform=(format!("rotate(-90 14 {})", px(y))) { (text) } }
}
