//! The graph of a pipeline: a box for each stage with its state, from left to right as they are executed. The copies of a `ForEach`
//! are one box, and so are the trials of a search.

use std::collections::BTreeMap;

use maud::html;
use pipe_engine::{
    pipeline::{spec::Pipeline, stages::search::SearchSpec},
    study::{Outcome, Study, StudyNode},
};

use super::{
    layout::{Cell, Layout, layout},
    svg::{Picture, polyline, px, shortened},
};
use crate::{
    text::{counted, significant},
    trials::TrialRow,
};

/// A box of the graph: a stage, or the copies of one.
#[derive(Debug, Clone, PartialEq)]
pub struct StageBox {
    /// The name: `fold/*` for several.
    pub name: String,
    /// What it is: `Train`, `Search by Tpe`.
    pub kind: String,
    pub state: State,
    /// What there is to say of its nodes: `10 trials, 1 without a result`.
    pub said: String,
    /// How long its nodes took, if that is to be shown. A report does not: equal studies have equal reports.
    pub seconds: Option<f64>,
    /// The boxes that it reads from, all of them before it.
    pub reads: Vec<usize>,
}

/// What became of the nodes of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Done,
    Failed,
    NotRun,
}

/// Returns the boxes of a study's stages, each after those that it reads from.
pub fn boxes(pipeline: &Pipeline, study: &Study, trials: &[TrialRow]) -> Vec<StageBox> {
    let stages = pipeline.stages.in_order();
    let mut names: Vec<(String, Vec<usize>)> = Vec::new();
    for (at, (name, stage)) in stages.iter().enumerate() {
        let group = group(name, stage.kind().name);
        match names.iter_mut().find(|(known, _)| *known == group) {
            Some((_, members)) => members.push(at),
            None => names.push((group, vec![at])),
        }
    }
    let holder: BTreeMap<&str, usize> = names
        .iter()
        .enumerate()
        .flat_map(|(at, (_, members))| members.iter().map(move |member| (*member, at)))
        .map(|(member, at)| (stages[member].0, at))
        .collect();
    let of_group = |(at, (_, members)): (usize, &(String, Vec<usize>))| {
        let (first, spec) = stages[members[0]];
        let name = match first.split_once('/') {
            Some(_) if members.len() > 1 => starred(first),
            _ => first.to_owned(),
        };
        let part = |node: &StudyNode| members.iter().any(|member| stages[*member].0 == node.part_of);
        let nodes: Vec<&StudyNode> = study.nodes.values().filter(|node| part(node)).collect();
        let reads = members.iter().flat_map(|member| stages[*member].1.reads());
        let mut reads: Vec<usize> =
            reads.filter_map(|read| holder.get(read).copied()).filter(|read| *read < at).collect();
        reads.sort_unstable();
        reads.dedup();
        let of_search: Vec<&TrialRow> = trials.iter().filter(|row| row.search == first).collect();
        let is_failed = |node: &&&StudyNode| !matches!(node.outcome, Outcome::Tree(_));
        let failed = nodes.iter().filter(is_failed).count();
        let state = match (nodes.is_empty(), failed) {
            (true, _) => State::NotRun,
            (false, 0) => State::Done,
            (false, _) => State::Failed,
        };
        let kind = match pipeline.stages.get_as::<SearchSpec>(first) {
            Some(search) => format!("{} by {}", spec.kind().name, search.own.sampler.name()),
            None => spec.kind().name.to_owned(),
        };
        let said = said(&of_search, members.len(), state, failed);
        StageBox { name, kind, state, said, seconds: None, reads }
    };
    names.iter().enumerate().map(of_group).collect()
}

fn said(trials: &[&TrialRow], copies: usize, state: State, failed: usize) -> String {
    let without = trials.iter().filter(|row| !row.is_completed()).count();
    match state {
        State::NotRun => "not run".to_owned(),
        _ if without > 0 => format!("{}, {without} without a result", counted(trials.len(), "trial")),
        _ if !trials.is_empty() => counted(trials.len(), "trial"),
        State::Done if copies > 1 => format!("{copies} × done"),
        State::Done => "done".to_owned(),
        State::Failed if copies > 1 => format!("{failed} of {copies} failed"),
        State::Failed => "failed".to_owned(),
    }
}

/// Returns what the copies of one `ForEach` have in common: `fold/0` and `fold/1` are copies.
fn group(name: &str, kind: &str) -> String {
    if name.contains('/') { format!("{kind} {}", starred(name)) } else { name.to_owned() }
}

/// Returns a name with a star for its second part, which differs between copies.
fn starred(name: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    if let Some(second) = parts.get_mut(1) {
        *second = "*";
    }
    parts.join("/")
}

const EDGE: f64 = 6.0;
const BOX: f64 = 58.0;
/// The space between boxes from left to right, and from top to bottom.
const ALONG: f64 = 34.0;
const ACROSS: f64 = 16.0;
/// The width of a letter of the name, and of the lines below it.
const LETTER: f64 = 7.1;
const SMALL: f64 = 5.7;

/// Returns the picture of the boxes, or None if there are none.
pub fn draw(boxes: &[StageBox]) -> Option<Picture> {
    if boxes.is_empty() {
        return None;
    }
    let inputs: Vec<Vec<usize>> = boxes.iter().map(|one| one.reads.clone()).collect();
    let layout = layout(&inputs);
    let letters = |text: &str| text.chars().count() as f64;
    let width = |one: &StageBox| {
        (LETTER * letters(&one.name)).max(SMALL * letters(&one.kind)).max(SMALL * letters(&last_line(one)))
    };
    let grid = Grid { layout: &layout, width: boxes.iter().map(width).fold(80.0, f64::max) + 18.0 };
    let body = html! {
        @for line in &layout.lines {
            @let corners = grid.wire(line);
            path.wire d=(polyline(corners.iter().copied())) {}
            @let (x, y) = corners[corners.len() - 1];
            path.tip d=(polyline([(x, y), (x - 7.0, y - 4.0), (x - 7.0, y + 4.0)].into_iter()) + "Z") {}
        }
        @for (one, place) in boxes.iter().zip(&layout.nodes) {
            @let (x, y) = grid.corner(*place);
            @let class = match one.state { State::Done => "box", State::Failed => "box failed", State::NotRun => "box idle" };
            rect class=(class) x=(px(x)) y=(px(y)) width=(px(grid.width)) height=(px(BOX)) rx="3" {}
            text.mono x=(px(x + 9.0)) y=(px(y + 18.0)) { (shortened(&one.name, 40)) }
            text.small x=(px(x + 9.0)) y=(px(y + 34.0)) { (one.kind) }
            text.small x=(px(x + 9.0)) y=(px(y + 49.0)) { (last_line(one)) }
        }
    };
    let columns: usize = layout.lanes.iter().sum();
    Some(Picture {
        title: format!("Graph of the pipeline: {}", counted(boxes.len(), "stage")),
        width: 2.0 * EDGE + layout.rows as f64 * (grid.width + ALONG) - ALONG,
        height: 2.0 * EDGE + columns as f64 * (BOX + ACROSS) - ACROSS,
        body,
        note: String::new(),
    })
}

fn last_line(one: &StageBox) -> String {
    match one.seconds {
        Some(seconds) => format!("{}, {} s", one.said, significant(seconds, 3)),
        None => one.said.clone(),
    }
}

/// Converts places to pixels. The rows of the layout run from left to right, and its lanes from top to bottom.
struct Grid<'a> {
    layout: &'a Layout,
    width: f64,
}

impl Grid<'_> {
    fn corner(&self, place: Cell) -> (f64, f64) {
        let lane = self.layout.lanes[..place.column].iter().sum::<usize>() + place.lane;
        (EDGE + place.row as f64 * (self.width + ALONG), EDGE + lane as f64 * (BOX + ACROSS))
    }

    /// Returns the corners of a line from the right of one box to the left of another. It changes lanes between boxes.
    fn wire(&self, line: &[Cell]) -> Vec<(f64, f64)> {
        let middle = |place: Cell| self.corner(place).1 + BOX / 2.0;
        let right = |place: Cell| self.corner(place).0 + self.width;
        let mut corners = vec![(right(line[0]), middle(line[0]))];
        for pair in line.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let (behind, before) = (right(from) + ALONG / 2.0, self.corner(to).0 - ALONG / 2.0);
            if from.column != to.column {
                let between = self.corner(to).1 - ACROSS / 2.0;
                corners.extend([(behind, middle(from)), (behind, between), (before, between), (before, middle(to))]);
            } else if from.lane != to.lane {
                corners.extend([(behind, middle(from)), (behind, middle(to))]);
            }
        }
        let last = line[line.len() - 1];
        corners.push((self.corner(last).0, middle(last)));
        corners
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        testing::{Builder, Trial},
        trials,
    };

    fn of(builder: Builder) -> Vec<StageBox> {
        let (store, study) = builder.done();
        let pipeline = study.read_pipeline(&store).unwrap();
        boxes(&pipeline, &study, &trials::table(&store, &study).unwrap())
    }

    #[test]
    fn a_search_is_one_box_and_every_box_follows_what_it_reads() {
        let boxes = of(Builder::whole(5));
        let names: Vec<_> = boxes.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["raw", "data", "flip", "search", "retrain_best", "test", "visualize_filters"]);
        assert_eq!((boxes[3].kind.as_str(), boxes[3].said.as_str()), ("Search by Tpe", "5 trials, 1 without a result"));
        assert_eq!(boxes[3].reads, [1, 2]);
        assert!(boxes.iter().enumerate().all(|(at, one)| one.reads.iter().all(|read| *read < at)));
        let svg = draw(&boxes).unwrap().document();
        assert_eq!(svg.matches("class=\"box\"").count(), 7, "{svg}");
        assert!(svg.contains(">retrain_best<") && draw(&[]).is_none());
    }

    #[test]
    fn stages_that_failed_or_were_not_run_look_different() {
        let mut builder = Builder::new().search("search", &[Trial::completed(0.3), Trial::completed(0.4)]);
        builder.outcome("search/train/001", Outcome::Failure("no".into()));
        let boxes = of(builder);
        let states: Vec<_> = boxes.iter().map(|one| (one.name.as_str(), one.state)).collect();
        let expected =
            [("raw", State::NotRun), ("data", State::NotRun), ("flip", State::NotRun), ("search", State::Failed)];
        assert_eq!(states, expected);
        assert!(draw(&boxes).unwrap().document().contains("box failed"));
    }

    #[test]
    fn copies_are_one_box() {
        let mut builder = Builder::new();
        for k in 0..3 {
            let embedded = json!({ "name": "shapes100", "train": 200 + k, "test": 20 });
            builder.stage(&format!("raw/{k}"), json!({ "Fetch": { "Embedded": embedded } }));
            builder.stage(
                &format!("raw/{k}/data"),
                json!({ "Decode": { "from": format!("raw/{k}"), "format": "Cifar100" } }),
            );
        }
        let boxes = of(builder);
        let found: Vec<_> = boxes.iter().map(|one| (one.name.as_str(), one.reads.clone())).collect();
        assert_eq!(found, [("raw/*", vec![]), ("raw/*/data", vec![0])]);
    }
}
