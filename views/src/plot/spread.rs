//! The distribution of the weights of each layer over the epochs: a small panel per kernel, with the median, and bands that
//! contain half and nine tenths of the weights.

use std::collections::BTreeMap;

use maud::html;
use pipe_stages::network::training::{Histogram, Histograms};
use serde_json::Value;

use super::{
    axis::{ColumnAxis, Scaling},
    frame::Frame,
    svg::{Picture, polyline, px, shortened},
};

const LEFT: f64 = 56.0;
const PANEL: f64 = 250.0;
const PLOT: f64 = 96.0;
/// The height of a row of panels, with the titles above and the epochs below.
const ROW: f64 = PLOT + 50.0;
const COLUMNS: usize = 4;
/// The most panels. A note says how many kernels there are.
const PANELS: usize = 24;
/// The quantiles that are drawn: the edges of the bands and the median.
const SHARES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// Returns the picture of the training `name`, with its kernels in the order of `layers`. Returns None if there are fewer than
/// two epochs, or no kernels.
pub(crate) fn draw<'a>(name: &str, histograms: &Histograms, layers: impl Iterator<Item = &'a str>) -> Option<Picture> {
    let mut spreads = spreads(histograms);
    let kernels: Vec<_> =
        layers.filter_map(|layer| Some((layer, spreads.remove(format!("{layer}.kernel").as_str())?))).collect();
    let (all, shown) = (kernels.len(), &kernels[..kernels.len().min(PANELS)]);
    if shown.first().is_none_or(|(_, spread)| spread.len() < 2) {
        return None;
    }
    let across = shown.len().min(COLUMNS);
    let body = html! {
        @for (i, (layer, spread)) in shown.iter().enumerate() {
            @let left = LEFT + PANEL * (i % COLUMNS) as f64;
            @let top = 22.0 + ROW * (i / COLUMNS) as f64;
            (panel(Frame { left, right: left + PANEL - LEFT - 8.0, top, bottom: top + PLOT }, layer, spread)?)
        }
    };
    let mut note =
        "The dark band contains half of the weights of a kernel, the light band nine tenths. The line is the median. \
                    Epoch 0 shows the initial weights."
            .to_owned();
    if shown.len() < all {
        note += &format!(" The first {} of {all} kernels.", shown.len());
    }
    let (width, height) = (PANEL * across as f64, ROW * shown.len().div_ceil(COLUMNS) as f64 + 12.0);
    Some(Picture { title: format!("Kernels of {name} after each epoch"), width, height, body, note })
}

/// The epoch and the quantiles at [`SHARES`], for each epoch of a kernel.
type Spread = Vec<(f64, [f64; 5])>;

/// Returns the spread of each array, by name.
fn spreads(histograms: &Histograms) -> BTreeMap<&str, Spread> {
    let mut spreads: BTreeMap<&str, Spread> = BTreeMap::new();
    for (epoch, arrays) in histograms.epochs() {
        for (name, of) in arrays {
            spreads.entry(name).or_default().push((epoch.into(), SHARES.map(|share| quantile(of, share))));
        }
    }
    spreads
}

fn panel(frame: Frame, layer: &str, spread: &Spread) -> Option<maud::Markup> {
    let axis = |numbers: Vec<f64>, n: f64| {
        let numbers: Vec<Value> = numbers.into_iter().map(Value::from).collect();
        ColumnAxis::new(numbers.iter(), n, Scaling::Linear)
    };
    let epochs = axis(spread.iter().map(|(epoch, _)| *epoch).collect(), 4.0)?;
    let numbers = axis(spread.iter().flat_map(|(_, levels)| *levels).collect(), 5.0)?;
    let place = |epoch: f64, number: f64| {
        Some((frame.x(epochs.at(&Value::from(epoch))?), frame.y(numbers.at(&Value::from(number))?)))
    };
    let line = |level: usize| spread.iter().filter_map(move |(epoch, levels)| place(*epoch, levels[level]));
    let band =
        |low: usize, high: usize| polyline(line(low).chain(line(high).collect::<Vec<_>>().into_iter().rev())) + "Z";
    Some(html! {
        text.small.axis x=(px(frame.left)) y=(px(frame.top - 7.0)) { (shortened(layer, 28)) }
        (frame.axes(&epochs, &numbers, [true, true]))
        path.area.r1 d=(band(0, 4)) {}
        path.area.r2 d=(band(1, 3)) {}
        path.line.one.thin d=(polyline(line(2))) {}
    })
}

/// Returns a quantile of a histogram, on the assumption that numbers are spread evenly within a bin.
fn quantile(of: &Histogram, share: f64) -> f64 {
    let (low, high) = (f64::from(of.min), f64::from(of.max));
    let width = (high - low) / of.counts.len() as f64;
    let mut left = share * of.counts.iter().map(|count| f64::from(*count)).sum::<f64>();
    for (bin, count) in of.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let count = f64::from(*count);
        if left <= count {
            return low + width * (bin as f64 + left / count);
        }
        left -= count;
    }
    high
}

#[cfg(test)]
mod tests {
    use pipe_stages::network::{Weight, Weights};

    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_bin_away_from_the_exact_one() {
        let mut numbers: Vec<f32> = (0..997).map(|i| (((i * 7919) % 997) as f32 / 500.0 - 1.0).powi(3)).collect();
        let histogram = Histogram::new(&numbers);
        numbers.sort_by(f32::total_cmp);
        let width = f64::from(histogram.max - histogram.min) / 30.0;
        for share in [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0] {
            let expected = f64::from(numbers[(share * 996.0) as usize]);
            let found = quantile(&histogram, share);
            assert!((found - expected).abs() <= width, "{share}: {found}, expected {expected}");
        }
        assert_eq!(quantile(&Histogram::new(&[0.5; 9]), 0.25), 0.5);
    }

    #[test]
    fn kernels_have_panels_in_the_order_of_their_layers() {
        let weights = |epoch: f32| {
            let array = |values: &[f32]| Weight { shape: vec![values.len()], values: values.to_vec() };
            let kernel = array(&[-epoch, 0.0, epoch]);
            Weights(
                [("b.kernel", kernel.clone()), ("a.kernel", kernel), ("a.bias", array(&[0.0]))]
                    .map(|(name, array)| (name.to_owned(), array))
                    .into(),
            )
        };
        let mut histograms = Histograms::default();
        histograms.push(0, &weights(1.0));
        assert!(draw("net", &histograms, ["b", "a"].into_iter()).is_none(), "one epoch is not enough");
        histograms.push(2, &weights(2.0));
        let svg = draw("net", &histograms, ["b", "pool", "a"].into_iter()).unwrap().document();
        assert!(svg.find(">b<").unwrap() < svg.find(">a<").unwrap() && !svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("class=\"area r1\"").count(), 2);
        assert!(draw("net", &histograms, ["pool"].into_iter()).is_none());
    }
}
