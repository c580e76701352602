//! The marks of trials in a picture. Numbers are shown by the steps of a ramp, which differ in size and lightness, and levels by
//! marks of different shapes.

use maud::{Markup, html};

use super::{
    svg::{dots, px, shortened, text_width},
    table::{PlottedColumn, RANK, Table},
};
use crate::text::significant;

/// The number of steps of a ramp.
const STEPS: usize = 5;
/// The number of shapes of marks.
const FORMS: usize = 8;

/// The mark of each trial, and the legend.
pub(super) struct Shade {
    title: String,
    /// The step or shape of each trial. None for a trial without a value.
    pub(super) of: Vec<Option<usize>>,
    entries: Vec<String>,
    is_ramp: bool,
    /// The search, and the number of each trial in it.
    search: String,
    numbers: Vec<u32>,
}

impl Shade {
    /// Returns the marks that show a column. If it is the objective, better trials have stronger marks.
    pub(super) fn new(table: &Table, column: &PlottedColumn) -> Self {
        let search = table.rows.first().map(|row| row.search.clone()).unwrap_or_default();
        let numbers: Vec<u32> = table.rows.iter().map(|row| row.index).collect();
        if let Some(levels) = column.axis.level_names() {
            // The last shape is shared by all further levels.
            let of = (0..table.rows.len()).map(|row| {
                let value = crate::text::cell(column.values[row].as_ref()?);
                levels.iter().position(|level| *level == value).map(|at| at.min(FORMS - 1))
            });
            let mut entries: Vec<_> = levels.iter().take(FORMS).map(|level| shortened(level, 16)).collect();
            if levels.len() > FORMS {
                entries[FORMS - 1] = format!("{} others", levels.len() + 1 - FORMS);
            }
            return Self { title: column.title.clone(), of: of.collect(), entries, is_ramp: false, search, numbers };
        }
        let falls = column.name == RANK || (column.name == table.objective.name && !table.rises);
        let place = |row| column.number(row).map(|number| column.axis.share(number));
        let turned = |step: usize| if falls { STEPS - 1 - step } else { step };
        let step = |share: f64| turned(((share * STEPS as f64) as usize).min(STEPS - 1));
        let ends: Vec<f64> = (0..=STEPS).map(|i| end(column, i)).collect();
        let is_whole = (0..table.rows.len()).filter_map(|row| column.number(row)).all(|number| number.fract() == 0.0);
        let span = ends[STEPS] - ends[0];
        if is_whole && span < STEPS as f64 {
            // Each number has a step of its own.
            let step = |number: f64| match span {
                0.0 => STEPS - 1,
                span => turned((((number - ends[0]) * (STEPS - 1) as f64) / span).round() as usize),
            };
            let mut entries = vec![String::new(); STEPS];
            let of = (0..table.rows.len()).map(|row| column.number(row).map(step)).collect();
            for i in 0..=span as usize {
                entries[step(ends[0] + i as f64)] = significant(ends[0] + i as f64, 3);
            }
            return Self { title: column.title.clone(), of, entries, is_ramp: true, search, numbers };
        }
        let entry = |i: usize| match is_whole {
            true if i + 1 < STEPS => (ends[i].ceil(), ends[i + 1].ceil() - 1.0),
            true => (ends[i].ceil(), ends[i + 1]),
            false => (ends[i], ends[i + 1]),
        };
        let text = |(low, high)| match [low, high].map(|end| significant(end, 3)) {
            // A step of whole numbers can have a single one.
            [low, high] if low == high => low,
            [low, high] => format!("{low} – {high}"),
        };
        let mut entries: Vec<_> = (0..STEPS).map(|i| text(entry(i))).collect();
        if falls {
            entries.reverse();
        }
        Self {
            title: column.title.clone(),
            of: (0..table.rows.len()).map(|row| place(row).map(step)).collect(),
            entries,
            is_ramp: true,
            search,
            numbers,
        }
    }

    /// Returns the marks of trials at these positions, one path per step or shape. The strongest are drawn last.
    pub(super) fn marks(&self, places: &[Option<(f64, f64)>]) -> Markup {
        html! {
            @for step in 0..self.entries.len() {
                @let of_step = |row: &usize| self.of[*row] == Some(step) && places[*row].is_some();
                @let rows: Vec<usize> = (0..places.len()).filter(of_step).collect();
                @let of_rows: Vec<_> = rows.iter().filter_map(|row| places[*row]).collect();
                @if !rows.is_empty() { (self.mark(step, &of_rows, &rows)) }
            }
        }
    }

    /// Returns marks of one step or shape, which are of the trials in `rows`. In a legend there are no trials.
    pub(super) fn mark(&self, step: usize, places: &[(f64, f64)], rows: &[usize]) -> Markup {
        let (class, outline) = match self.is_ramp {
            true => (format!("dot r{step}"), dots(places.iter().copied())),
            false => (format!("kind k{step}"), places.iter().map(|(x, y)| form(step, *x, *y)).collect()),
        };
        let numbers: Vec<String> = rows.iter().map(|row| self.numbers[*row].to_string()).collect();
        let is_of_trials = !numbers.is_empty();
        html! {
            path class=(class) data-search=[is_of_trials.then_some(&self.search)] data-trials=[is_of_trials.then(|| numbers.join(" "))]
                d=(outline) {}
        }
    }

    /// Returns the height of the legend in a given width.
    pub(super) fn legend_height(&self, width: f64) -> f64 {
        LINE * (1 + self.entry_places(width).last().map_or(0, |(_, line)| *line)) as f64
    }

    /// Returns the legend. Its first line is at `top`.
    pub(super) fn legend(&self, left: f64, top: f64, width: f64) -> Markup {
        html! {
            text.axis x=(px(left)) y=(px(top + 14.0)) { (self.title) }
            @for (step, (x, line)) in self.entry_places(width).into_iter().enumerate().filter(|(step, _)| !self.entries[*step].is_empty()) {
                @let (x, y) = (left + x, top + 10.0 + LINE * line as f64);
                (self.mark(step, &[(x + 6.0, y)], &[]))
                text x=(px(x + 16.0)) y=(px(y + 4.0)) { (self.entries[step]) }
            }
        }
    }

    /// Returns the x and the line of each entry. The entries follow the title.
    fn entry_places(&self, width: f64) -> Vec<(f64, usize)> {
        let (mut x, mut line) = (text_width(&self.title) + 18.0, 0);
        let place = |entry: &String| {
            let length = if entry.is_empty() { 0.0 } else { text_width(entry) + 30.0 };
            if x + length > width && x > 0.0 {
                (x, line) = (0.0, line + 1);
            }
            let place = (x, line);
            x += length;
            place
        };
        self.entries.iter().map(place).collect()
    }
}

const LINE: f64 = 20.0;

/// Returns the lower end of step `i`, or the upper end of the last one if `i` is `STEPS`.
fn end(column: &PlottedColumn, i: usize) -> f64 {
    let ends = |pick: fn(f64, f64) -> f64| {
        (0..column.values.len()).filter_map(|row| column.number(row)).reduce(pick).unwrap_or(f64::NAN)
    };
    let (low, high) = (ends(f64::min), ends(f64::max));
    if i == 0 {
        return low;
    }
    if i == STEPS {
        return high;
    }
    let (from, to) = (column.axis.at(&low.into()), column.axis.at(&high.into()));
    let place = from.zip(to).map(|(from, to)| from + (to - from) * i as f64 / STEPS as f64);
    place.and_then(|place| column.axis.value_at(place)).unwrap_or(f64::NAN)
}

/// Returns the outline of a mark of some shape, centred on a point.
pub(super) fn form(kind: usize, x: f64, y: f64) -> String {
    let outline = |corners: &[(f64, f64)]| {
        let place = |(dx, dy): &(f64, f64)| format!("{} {}", px(x + dx), px(y + dy));
        format!("M{}Z", corners.iter().map(place).collect::<Vec<_>>().join("L"))
    };
    match kind {
        0 => format!("M{} {}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0Z", px(x - 3.5), px(y)),
        1 => outline(&[(-3.3, -3.3), (3.3, -3.3), (3.3, 3.3), (-3.3, 3.3)]),
        2 => outline(&[(0.0, -4.5), (4.3, 3.2), (-4.3, 3.2)]),
        3 => outline(&[(0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0)]),
        4 => outline(&[(0.0, 4.5), (4.3, -3.2), (-4.3, -3.2)]),
        5 => format!("M{} {}h9M{} {}v9", px(x - 4.5), px(y), px(x), px(y - 4.5)),
        6 => super::svg::cross(x, y),
        _ => outline(&[(-5.0, -1.8), (5.0, -1.8), (5.0, 1.8), (-5.0, 1.8)]),
    }
}
