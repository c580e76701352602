//! When each node of a study was executed and how long it took, as text and as a picture. The results can come from several
//! runs, so time in which no node ran is cut out.

use maud::html;
use pipe_engine::study::Study;
use pipe_store::{Store, StoreError};

use super::{
    axis::round_step,
    svg::{Picture, px, shortened, text_width},
};
use crate::{
    provenance::Times,
    text::{Align, columns, significant},
};

/// The execution of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    pub node: String,
    pub stage: String,
    /// Seconds since 1970.
    pub started: f64,
    pub seconds: f64,
}

/// Executions by start, with idle time cut out. Invariant: the starts are in the shortened time, which begins at 0.
#[derive(Debug, PartialEq)]
pub struct Timeline {
    pub executions: Vec<Execution>,
    /// The cuts: (time in the shortened time, seconds that were cut out).
    pub cuts: Vec<(f64, f64)>,
    pub end: f64,
}

/// Idle time is cut out if it is more than this share of the seconds of all executions, and more than [`IDLE`].
const IDLE_SHARE: f64 = 0.1;
/// The least idle time that is cut out, in seconds.
const IDLE: f64 = 10.0;
/// The part of idle time that is left, as a share of the seconds of all executions.
const LEFT_OF_IDLE: f64 = 0.03;

/// Returns the executions that gave the results of a study. A node without provenance (a crash, an imported result) has none.
///
/// # Errors
/// If provenance cannot be read.
pub fn executions(store: &Store, study: &Study) -> Result<Vec<Execution>, StoreError> {
    let mut found = Vec::new();
    for (name, node) in &study.nodes {
        if let Some(Times { started, seconds }) = Times::of(store, node)? {
            found.push(Execution { node: name.clone(), stage: node.stage.clone(), started, seconds });
        }
    }
    Ok(found)
}

impl Timeline {
    /// Returns the timeline of these executions.
    pub fn new(mut executions: Vec<Execution>) -> Self {
        executions.sort_by(|a, b| a.started.total_cmp(&b.started).then_with(|| a.node.cmp(&b.node)));
        let work: f64 = executions.iter().map(|one| one.seconds).sum();
        let mut until = executions.first().map_or(0.0, |one| one.started);
        let mut cut = until;
        let mut cuts = Vec::new();
        for one in &mut executions {
            let idle = one.started - until;
            if idle > (IDLE_SHARE * work).max(IDLE) {
                let kept = LEFT_OF_IDLE * work;
                cuts.push((until - cut + kept / 2.0, idle - kept));
                cut += idle - kept;
            }
            until = until.max(one.started + one.seconds);
            one.started -= cut;
        }
        Self { executions, cuts, end: until - cut }
    }

    /// Returns the timeline as text: a line per execution, with a bar.
    pub fn text(&self) -> String {
        const WIDTH: f64 = 48.0;
        let row = |one: &Execution| {
            let cell = |seconds: f64| (seconds / self.end.max(1e-3) * WIDTH) as usize;
            let from = cell(one.started).min(WIDTH as usize - 1);
            let length = (cell(one.started + one.seconds) - cell(one.started)).max(1).min(WIDTH as usize - from);
            let bar = format!("{}{}", " ".repeat(from), "█".repeat(length));
            vec![one.node.clone(), format!("+{}", seconds(one.started)), seconds(one.seconds), format!("|{bar:<48}|")]
        };
        let rows: Vec<_> = self.executions.iter().map(row).collect();
        let align = |at| if at == 1 || at == 2 { Align::Right } else { Align::Left };
        let mut text = columns(&["node", "start", "time", "when"], &rows, &align);
        for (at, cut) in &self.cuts {
            text += &format!("after +{} nothing ran for {}\n", seconds(*at), seconds(*cut));
        }
        text
    }

    /// Returns the row of each execution, which is the first free one of its kind of stage, and the number of rows of each kind.
    fn lanes(&self) -> (Vec<usize>, Vec<(String, usize)>) {
        let mut kinds: Vec<(String, Vec<f64>)> = Vec::new();
        let mut of = Vec::new();
        for one in &self.executions {
            let kind = kinds.iter().position(|(name, _)| *name == one.stage).unwrap_or_else(|| {
                kinds.push((one.stage.clone(), Vec::new()));
                kinds.len() - 1
            });
            let lanes = &mut kinds[kind].1;
            // The tolerance lets a bar follow another directly.
            let free = lanes.iter().position(|until| *until <= one.started + 1e-9);
            let lane = free.unwrap_or(lanes.len());
            if free.is_none() {
                lanes.push(0.0);
            }
            lanes[lane] = one.started + one.seconds;
            of.push((kind, lane));
        }
        let before = |kind: usize| kinds[..kind].iter().map(|(_, lanes)| lanes.len()).sum::<usize>();
        let rows = of.iter().map(|(kind, lane)| before(*kind) + lane).collect();
        (rows, kinds.into_iter().map(|(name, lanes)| (name, lanes.len())).collect())
    }

    /// Returns the timeline as a picture: a band for each kind of stage, with as many rows as nodes that ran at the same time.
    pub fn draw(&self) -> Picture {
        const LEFT: f64 = 130.0;
        const WIDTH: f64 = 900.0;
        const ROW: f64 = 18.0;
        const TOP: f64 = 12.0;
        let (lanes, kinds) = self.lanes();
        let n_rows: usize = kinds.iter().map(|(_, n)| n).sum();
        let bottom = TOP + ROW * n_rows as f64 + 6.0 * kinds.len() as f64;
        let end = self.end.max(1e-3);
        let x = |time: f64| LEFT + time / end * (WIDTH - LEFT - 16.0);
        // There are six pixels between bands.
        let mut band_of_row = Vec::new();
        kinds.iter().enumerate().for_each(|(band, (_, n))| band_of_row.extend(vec![band; *n]));
        let y = |row: usize| TOP + ROW * row as f64 + 6.0 * band_of_row[row] as f64;
        let first_row = |band: usize| kinds[..band].iter().map(|(_, n)| n).sum::<usize>();
        let step = round_time(end / 8.0);
        let body = html! {
            @for i in 0..=((end / step) as usize) {
                @let at = px(x(i as f64 * step));
                line.grid x1=(at) x2=(at) y1=(px(TOP)) y2=(px(bottom)) {}
                text.small x=(at) y=(px(bottom + 16.0)) text-anchor="middle" { (seconds(i as f64 * step)) }
            }
            @for (band, (kind, _)) in kinds.iter().enumerate() {
                text.axis x=(px(LEFT - 10.0)) y=(px(y(first_row(band)) + 13.0)) text-anchor="end" { (shortened(&kind.replace('_', " "), 18)) }
            }
            @for (one, row) in self.executions.iter().zip(&lanes) {
                @let (left, right) = (x(one.started), x(one.started + one.seconds));
                rect class=(format!("kind k{}", band_of_row[*row] % 8)) x=(px(left)) width=(px((right - left).max(1.0))) y=(px(y(*row) + 2.0)) height=(px(ROW - 4.0)) {
                    title { (one.node) ", " (seconds(one.seconds)) }
                }
                @if text_width(&one.node) + 6.0 < right - left {
                    text.small.strong x=(px(left + 4.0)) y=(px(y(*row) + 13.0)) { (one.node) }
                }
            }
            @for (at, cut) in &self.cuts {
                line.rule x1=(px(x(*at))) x2=(px(x(*at))) y1="2" y2=(px(bottom)) {}
                text.small x=(px(x(*at))) y=(px(bottom + 30.0)) text-anchor="middle" { (seconds(*cut)) " cut out" }
            }
            line.frame x1=(px(LEFT)) x2=(px(WIDTH - 16.0)) y1=(px(bottom)) y2=(px(bottom)) {}
            text.axis x=(px((LEFT + WIDTH) / 2.0)) y=(px(bottom + 46.0)) text-anchor="middle" { "time since the first start" }
        };
        let note = "Time in which no node of the study ran is cut out.".to_owned();
        Picture { title: "Timeline of the study".to_owned(), width: WIDTH, height: bottom + 56.0, body, note }
    }
}

/// Returns the shortest round duration that is at least `seconds`, in seconds.
fn round_time(seconds: f64) -> f64 {
    let round = [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0];
    if seconds <= 10.0 {
        return round_step(seconds);
    }
    round.into_iter().find(|round| *round >= seconds).unwrap_or_else(|| 86_400.0 * round_step(seconds / 86_400.0))
}

/// Returns a duration as text: `12 s`, `1m 02s`, `1h 02m`, `2.5 d`.
fn seconds(seconds: f64) -> String {
    match if seconds < 60.0 { seconds } else { seconds.round() } {
        s if s < 60.0 => format!("{} s", significant(s, 3)),
        s if s < 3600.0 => format!("{}m {:02}s", s as u64 / 60, s as u64 % 60),
        s if s < 48.0 * 3600.0 => format!("{}h {:02}m", s as u64 / 3600, s as u64 / 60 % 60),
        s => format!("{} d", significant(s / 86_400.0, 3)),
    }
}

#[cfg(test)]
mod tests {
    use pipe_stages::StageName;

    use super::*;

    fn one(node: &str, stage: StageName, started: f64, seconds: f64) -> Execution {
        Execution { node: node.into(), stage: stage.to_string(), started, seconds }
    }

    #[test]
    fn idle_time_is_cut_out() {
        let timeline =
            Timeline::new(vec![one("b", StageName::Train, 1000.0, 60.0), one("a", StageName::Fetch, 100.0, 40.0)]);
        assert_eq!(timeline.cuts, [(41.5, 857.0)]);
        assert_eq!(timeline.executions.iter().map(|one| one.started).collect::<Vec<_>>(), [0.0, 43.0]);
        assert_eq!(timeline.end, 103.0);
        let text = timeline.text();
        assert!(text.contains("a      +0 s    40 s  |█████") && text.contains("nothing ran for 14m 17s"), "{text}");
    }

    #[test]
    fn nodes_that_ran_at_the_same_time_have_two_rows() {
        let trains = [
            one("a", StageName::Train, 0.0, 5.0),
            one("b", StageName::Train, 1.0, 5.0),
            one("c", StageName::Train, 5.0, 1.0),
        ];
        let timeline = Timeline::new([trains.to_vec(), vec![one("d", StageName::Evaluate, 6.0, 1.0)]].concat());
        let (lanes, kinds) = timeline.lanes();
        assert_eq!((lanes, kinds), (vec![0, 1, 0, 2], vec![("train".to_owned(), 2), ("evaluate".to_owned(), 1)]));
        assert!(timeline.draw().document().contains("<title>a, 5 s</title>"));
    }

    #[test]
    fn a_study_without_provenance_has_an_empty_timeline() {
        assert_eq!(Timeline::new(Vec::new()).text().lines().count(), 1);
    }
}
