//! Line charts as SVG. Series differ in dashes and marks as well as in colour.

use maud::{Markup, html};

use super::{
    axis::{margin_of, round_step},
    svg::{Picture, cross, px, text_width},
};
use crate::text::significant;

/// The width of a chart on its own, in CSS pixels.
pub(crate) const FULL: f64 = 680.0;
/// The width of one of two charts side by side. Text has the same size as in a full one. It fits a phone.
pub(crate) const HALF: f64 = 446.0;
const HEIGHT: f64 = 290.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;
/// The height of a line of the legend.
const LEGEND: f64 = 20.0;

/// One line of a chart.
pub(crate) struct Series {
    /// The name in the legend, if it has one.
    pub(crate) label: Option<String>,
    pub(crate) style: Style,
    /// Points as (x, y). A y that is not finite interrupts the line.
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether each point has a mark.
    pub(crate) marks: bool,
    /// Whether a line joins the points.
    pub(crate) joined: bool,
    pub(crate) of: Of,
}

/// The trials that a line is of, so that a page can link them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Of {
    Nothing,
    /// The trial `search/3`.
    Trial(String),
    /// Each point is of the trial of this search whose number is its x.
    Trials(String),
}

impl Of {
    /// Returns the trial that the point at `x` is of.
    fn at(&self, x: f64) -> Option<String> {
        match self {
            Self::Trials(search) => Some(format!("{search}/{x}")),
            _ => None,
        }
    }

    /// Returns the trial that the whole line is of.
    fn line(&self) -> Option<&str> {
        match self {
            Self::Trial(trial) => Some(trial),
            _ => None,
        }
    }
}

/// The look of a line: its class in the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    One,
    Two,
    Strong,
    Faint,
    /// As `One`, less important.
    ThinOne,
    /// As `Two`, less important.
    ThinTwo,
}

impl Style {
    fn class(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
            Self::Strong => "strong",
            Self::Faint => "faint",
            Self::ThinOne => "one thin",
            Self::ThinTwo => "two thin",
        }
    }
}

impl Series {
    /// Returns a line without marks.
    pub(crate) fn line(label: Option<String>, style: Style, points: Vec<(f64, f64)>) -> Self {
        Self { label, style, points, marks: false, joined: true, of: Of::Nothing }
    }
}

impl Series {
    fn draw(&self, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> Markup {
        let (class, trial) = (self.style.class(), self.of.line());
        html! {
            @if self.joined {
                path class=(format!("line {class}")) data-trial=[trial] data-name=[self.label.as_deref()] d=(path(&self.points, x, y)) {
                    @if let Some(trial) = trial { title { "trial " (trial.rsplit('/').next().unwrap_or(trial)) } }
                }
            }
            @if self.marks {
                @for (at, value) in self.points.iter().filter(|(_, value)| value.is_finite()) {
                    circle class=(format!("mark {class}")) data-trial=[self.of.at(*at)] cx=(px(x(*at))) cy=(px(y(*value))) r="3.5" {}
                }
            }
        }
    }
}

/// The contents of a chart.
pub(crate) struct Chart {
    /// A description for screen readers.
    pub(crate) title: String,
    pub(crate) width: f64,
    pub(crate) x_axis: String,
    /// Whether the numbers along the x axis are whole.
    pub(crate) whole: bool,
    pub(crate) y_axis: String,
    pub(crate) series: Vec<Series>,
    /// A vertical line at an x, with a label.
    pub(crate) rule: Option<(f64, String)>,
    /// Each x that has no value, marked with a cross at the bottom of the plot.
    pub(crate) crosses: Vec<f64>,
    pub(crate) cross_label: String,
}

/// The range and the ticks of an axis of a chart.
struct ChartAxis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl ChartAxis {
    /// Returns an axis that contains `values`, with about `n` ticks at round numbers. Ticks are integers if `whole`. The axis ends
    /// at ticks if `to_ticks`. Returns None if no value is finite.
    fn new(values: impl Iterator<Item = f64>, n: f64, whole: bool, to_ticks: bool) -> Option<Self> {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let low = values.iter().copied().min_by(f64::total_cmp)?;
        let high = values.iter().copied().max_by(f64::total_cmp)?;
        let margin = if high > low { 0.0 } else { margin_of(low) };
        let (low, high) = (low - margin, high + margin);
        let step = round_step((high - low) / n);
        let step = if whole { step.max(1.0).round() } else { step };
        // An end that is a tick but for rounding stays where it is.
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let (low, high) = if to_ticks { (first * step, last * step) } else { (low, high) };
        let n = (last - first) as usize;
        let ticks = (0..=n).map(|i| (first + i as f64) * step).filter(|tick| (low..=high).contains(tick)).collect();
        Some(Self { low, high, ticks })
    }

    fn at(&self, value: f64, from: f64, to: f64) -> f64 {
        from + (value - self.low) / (self.high - self.low) * (to - from)
    }
}

impl Chart {
    /// Returns the picture, or None if no point can be shown.
    pub(crate) fn draw(&self) -> Option<Picture> {
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|(_, y)| y.is_finite());
        let x_axis =
            ChartAxis::new(points().map(|(x, _)| *x).chain(self.crosses.iter().copied()), 8.0, self.whole, false)?;
        let cut = cut(points().map(|(_, y)| *y).collect());
        let y_axis = ChartAxis::new(points().map(|(_, y)| y.min(cut)), 5.0, false, true)?;
        let legend = self.legend();
        let places = legend_places(&legend, self.width);
        let room = if self.rule.is_some() { 8.0 } else { 0.0 };
        let top = TOP + room + LEGEND * places.last().map_or(0.0, |(_, line)| line + 1.0);
        let (right, bottom) = (self.width - RIGHT, top + HEIGHT - TOP - BOTTOM);
        let height = bottom + BOTTOM;
        let x = |value: f64| x_axis.at(value, LEFT + 8.0, right - 8.0);
        let y = |value: f64| y_axis.at(value.min(cut), bottom, top);
        let frame = format!("{LEFT} {} {} {}", px(top), px(right), px(bottom));
        let body = html! {
                @for ((label, entry), place) in legend.iter().zip(&places) {
                    (legend_entry(label, *entry, *place))
                }
                g.along {
                    @for tick in &y_axis.ticks {
                        line.grid x1=(LEFT) x2=(right) y1=(px(y(*tick))) y2=(px(y(*tick))) {}
                        text x=(LEFT - 8.0) y=(px(y(*tick) + 4.0)) text-anchor="end" { (significant(*tick, 6)) }
                    }
                    @for tick in &x_axis.ticks {
                        line.frame x1=(px(x(*tick))) x2=(px(x(*tick))) y1=(px(bottom)) y2=(px(bottom + 4.0)) {}
                        text x=(px(x(*tick))) y=(px(bottom + 18.0)) text-anchor="middle" { (significant(*tick, 6)) }
                    }
                }
                path.frame d=(format!("M{LEFT} {} V{} H{}", px(top), px(bottom), px(right))) {}
                g.plot data-x=(span([LEFT + 8.0, right - 8.0], &x_axis)) data-y=(span([bottom, top], &y_axis)) data-frame=(frame)
                    data-axes=(format!("{}|{}", self.x_axis, self.y_axis)) data-whole[self.whole] data-cut[cut.is_finite()] {
                    @if let Some((at, name)) = &self.rule {
                        line.rule x1=(px(x(*at))) x2=(px(x(*at))) y1=(px(top)) y2=(px(bottom)) {}
                        @let is_left = x(*at) < (LEFT + right) / 2.0;
                        text x=(px(x(*at))) y=(px(top - 3.0)) text-anchor=(if is_left { "start" } else { "end" }) { (name) }
                    }
                    @for series in &self.series { (series.draw(&x, &y)) }
                    @for at in &self.crosses {
                        path.cross data-trial=[self.trial_at(*at)] d=(cross(x(*at), bottom - 9.0)) {}
                    }
                }
                text.axis x=(px((LEFT + right) / 2.0)) y=(px(height - 8.0)) text-anchor="middle" { (self.x_axis) }
                @let middle = (top + bottom) / 2.0;
                text.axis x="14" y=(px(middle)) text-anchor="middle" transform=(format!("rotate(-90 14 {})", px(middle))) {
                    (self.y_axis)
                }
        };
        let note = if self.is_cut() { "Values above the chart are drawn at its top." } else { "" };
        Some(Picture { title: self.title.clone(), width: self.width, height, body, note: note.to_owned() })
    }

    /// Returns the trial without a result at `x`.
    fn trial_at(&self, x: f64) -> Option<String> {
        self.series.iter().find_map(|series| series.of.at(x))
    }

    /// Returns whether some values lie above the chart. They are drawn at its top.
    fn is_cut(&self) -> bool {
        let values: Vec<_> =
            self.series.iter().flat_map(|series| &series.points).map(|(_, y)| *y).filter(|y| y.is_finite()).collect();
        let cut = cut(values.clone());
        values.iter().any(|value| *value > cut)
    }

    fn legend(&self) -> Vec<(&str, Entry)> {
        let entry = |series: &Series| Entry::Line { style: series.style, marks: series.marks, joined: series.joined };
        let lines = self.series.iter().filter_map(|series| Some((series.label.as_deref()?, entry(series))));
        let crosses = (!self.crosses.is_empty()).then_some((self.cross_label.as_str(), Entry::Cross));
        lines.chain(crosses).collect()
    }
}

/// Returns where an axis begins and ends, in pixels and as numbers, for the script of a page.
fn span([from, to]: [f64; 2], axis: &ChartAxis) -> String {
    format!("{} {} {} {}", px(from), px(to), significant(axis.low, 9), significant(axis.high, 9))
}

#[derive(Clone, Copy)]
enum Entry {
    Line { style: Style, marks: bool, joined: bool },
    Cross,
}

/// Returns the x and the line of each entry of a legend. They follow one another.
fn legend_places(legend: &[(&str, Entry)], width: f64) -> Vec<(f64, f64)> {
    let (mut x, mut line) = (LEFT, 0.0);
    let place = |(label, _): &(&str, Entry)| {
        let length = 56.0 + text_width(label);
        if x + length - 24.0 > width && x > LEFT {
            (x, line) = (LEFT, line + 1.0);
        }
        let place = (x, line);
        x += length;
        place
    };
    legend.iter().map(place).collect()
}

fn legend_entry(label: &str, entry: Entry, (x, line): (f64, f64)) -> Markup {
    let y = 10.0 + LEGEND * line;
    html! {
        @match entry {
            Entry::Line { style, marks, joined } => {
                @if joined {
                    line class=(format!("line {}", style.class())) x1=(px(x)) x2=(px(x + 26.0)) y1=(px(y)) y2=(px(y)) {}
                }
                @if marks {
                    circle class=(format!("mark {}", style.class())) cx=(px(x + 13.0)) cy=(px(y)) r="3.5" {}
                }
            }
            Entry::Cross => path.cross d=(cross(x + 13.0, y)) {},
        }
        text x=(px(x + 32.0)) y=(px(y + 4.0)) { (label) }
    }
}

/// Returns the highest value that is drawn, so that a few trainings that diverge do not flatten all others.
fn cut(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(high) = values.last() else { return f64::INFINITY };
    let usual = values[(values.len() - 1) * 9 / 10];
    let low = values[0];
    if high - low > 4.0 * (usual - low) && usual > low { low + 1.5 * (usual - low) } else { f64::INFINITY }
}

fn path(points: &[(f64, f64)], x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for (at, value) in points {
        if !value.is_finite() {
            is_down = false;
            continue;
        }
        path.push_str(&format!("{}{} {}", if is_down { "L" } else { "M" }, px(x(*at)), px(y(*value))));
        is_down = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            title: "t".into(),
            width: FULL,
            x_axis: "epoch".into(),
            whole: true,
            y_axis: "loss".into(),
            series: vec![Series::line(Some("a < b".into()), Style::One, points)],
            rule: None,
            crosses: Vec::new(),
            cross_label: String::new(),
        }
    }

    #[test]
    fn ticks_are_round_numbers() {
        let axis = ChartAxis::new([0.13, 0.47].into_iter(), 5.0, false, true).unwrap();
        let ticks: Vec<_> = axis.ticks.iter().map(|tick| significant(*tick, 6)).collect();
        assert_eq!(ticks, ["0.1", "0.2", "0.3", "0.4", "0.5"]);
        let axis = ChartAxis::new([1.0, 4.0].into_iter(), 8.0, true, false).unwrap();
        assert_eq!(axis.ticks, [1.0, 2.0, 3.0, 4.0]);
        assert!(ChartAxis::new([f64::NAN].into_iter(), 5.0, false, true).is_none());
        let single = ChartAxis::new([3.0].into_iter(), 5.0, true, false).unwrap();
        assert!(single.low < 3.0 && single.high > 3.0);
    }

    #[test]
    fn an_axis_ends_at_its_last_tick() {
        let axis = ChartAxis::new([0.0, 1.0].into_iter(), 5.0, false, true).unwrap();
        assert_eq!((significant(axis.high, 9), axis.ticks.len()), ("1".to_owned(), 6));
        // The only value of an accuracy does not ask for an axis below 0.
        let single = ChartAxis::new([0.01].into_iter(), 5.0, false, true).unwrap();
        assert!(single.low > 0.0 && single.high < 0.02, "{} to {}", single.low, single.high);
    }

    #[test]
    fn entries_of_a_legend_do_not_overlap() {
        let entry = Entry::Cross;
        let places =
            legend_places(&[("this search, best so far", entry), ("expected of 4", entry), ("x", entry)], HALF);
        assert_eq!(places, [(70.0, 0.0), (270.0, 0.0), (404.0, 0.0)]);
        let long = "a".repeat(60);
        assert_eq!(legend_places(&[(&long, entry), ("x", entry)], HALF), [(70.0, 0.0), (70.0, 1.0)]);
    }

    #[test]
    fn a_value_that_is_not_finite_interrupts_the_line() {
        let svg = chart(vec![(1.0, 0.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 0.5)]).draw().unwrap().document();
        let path = svg.split("data-name=\"a &lt; b\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1));
        assert!(svg.contains("a &lt; b"));
        assert!(chart(vec![(1.0, f64::NAN)]).draw().is_none());
    }

    #[test]
    fn a_training_that_diverges_does_not_flatten_the_others() {
        let mut points: Vec<_> = (0..40).map(|i| (f64::from(i), 4.0 - f64::from(i) / 20.0)).collect();
        assert!(!chart(points.clone()).is_cut());
        points.push((41.0, 1e9));
        let chart = chart(points);
        assert!(chart.is_cut());
        assert!(!chart.draw().unwrap().document().contains("1000000000"));
    }
}
