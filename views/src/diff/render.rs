//! Writes a difference as text.

use std::{collections::BTreeMap, fmt::Write};

use pipe_engine::{leaves::Change, run::why::FileChanges};
use pipe_stages::params::Float;
use serde_json::Value;

use super::{Answer, BestChange, Diff, Divergence, FileChange, Follow, MetricChange, folders::folder_of};
use crate::{
    notation,
    provenance::Origin,
    text::{Align, columns, significant, works},
};

/// The most rows of one kind that are written. The others are counted.
const ROWS: usize = 20;
/// The most files of a folder that have a line of their own.
const FEW: usize = 3;

/// Returns the difference as text, which is empty if nothing differs. `names` are the names of the old and the new study.
pub fn render(diff: &Diff, names: [&str; 2]) -> String {
    if diff.is_same() {
        return String::new();
    }
    let mut text = format!("old  {}\nnew  {}\n", names[0], names[1]);
    question(diff, &mut text);
    answer(diff, &mut text);
    divergences(&diff.divergences, &mut text);
    text
}

fn question(diff: &Diff, text: &mut String) {
    let question = &diff.question;
    if question.causes.is_empty() && question.selection.is_none() && question.unexplained.is_empty() {
        text.push_str("\nAll inputs are equal.\n");
        return;
    }
    text.push_str("\nInputs that differ\n");
    for cause in &question.causes {
        for change in &cause.changes {
            if let Some(files) = cause.folders.get(&change.path) {
                let _ = writeln!(text, "  {}: {files}", change.path.trim_end_matches(".listing"));
                continue;
            }
            let is_stage = cause.stage.as_deref() == Some(&change.path);
            let _ = writeln!(
                text,
                "  {}",
                change_line(change, if is_stage || change.path.ends_with(']') { "absent" } else { "default" })
            );
        }
        follows("which changes", &cause.follows, text);
    }
    if let Some([old, new]) = &question.selection {
        let list = |names: &[String]| if names.is_empty() { "everything".to_owned() } else { names.join(", ") };
        let _ = writeln!(text, "  selection: {} -> {}", list(old), list(new));
    }
    let title = if question.selection.is_some() {
        "nodes in only one study, or whose inputs differ"
    } else {
        "nodes whose inputs differ"
    };
    follows(title, &question.unexplained, text);
}

fn change_line(change: &Change, absent: &str) -> String {
    let show = |value: &Option<Value>| value.as_ref().map_or_else(|| absent.to_owned(), notation::line);
    format!("{}: {} -> {}", change.path, show(&change.old), show(&change.new))
}

fn follows(title: &str, follows: &[Follow], text: &mut String) {
    if follows.is_empty() {
        return;
    }
    let _ = writeln!(text, "    {title}");
    for part in follows.chunk_by(|a, b| a.part_of == b.part_of) {
        let mut counts = Vec::new();
        for follow in part {
            for (n, suffix) in [(follow.changed, ""), (follow.removed, " removed"), (follow.added, " added")] {
                if n > 0 {
                    counts.push(format!("{}{suffix}", works(&follow.stage, n)));
                }
            }
        }
        let _ = writeln!(text, "      {}: {}", part[0].part_of, counts.join(", "));
    }
}

fn answer(diff: &Diff, text: &mut String) {
    let answer = &diff.answer;
    if *answer == Answer::default() {
        text.push_str("\nAll results are equal.\n");
        return;
    }
    text.push_str("\nResults that differ\n");
    for outcome in capped(&answer.outcomes) {
        let _ = writeln!(text, "  {}: {} -> {}", outcome.node, outcome.old, outcome.new);
    }
    rest(answer.outcomes.len(), "nodes", text);
    if !answer.metrics.is_empty() {
        let rows: Vec<_> = capped(&answer.metrics).iter().map(metric).collect();
        let table = columns(&["", "", "old", "new", "difference"], &rows, &|at| {
            if at < 2 { Align::Left } else { Align::Right }
        });
        table.lines().for_each(|line| *text += &format!("  {line}\n"));
        rest(answer.metrics.len(), "figures", text);
    }
    answer.best.iter().for_each(|change| best(change, text));
    for curve in capped(&answer.curves) {
        let epochs = format!("{} and {} epochs", curve.old_epochs, curve.new_epochs);
        let _ = writeln!(text, "  {}: weights equal until epoch {} ({epochs})", curve.node, curve.equal_until);
    }
    rest(answer.curves.len(), "trainings", text);
    for file in capped(&answer.pictures) {
        let _ = writeln!(text, "  picture {}/{}: {}", file.node, file.path, digests(file));
    }
    rest(answer.pictures.len(), "pictures", text);
    files(&answer.files, text);
}

fn metric(change: &MetricChange) -> Vec<String> {
    let show = |x: Option<Float>| x.map_or_else(|| "none".to_owned(), |x| significant(x.0, 5));
    let difference = change.difference.filter(|x| x.0.is_finite());
    let difference =
        difference.map_or_else(String::new, |x| format!("{}{}", if x.0 > 0.0 { "+" } else { "" }, significant(x.0, 3)));
    vec![change.node.clone(), change.metric.clone(), show(change.old), show(change.new), difference]
}

fn best(change: &BestChange, text: &mut String) {
    let show = |trial: Option<u64>, loss: Option<Float>| match trial {
        Some(trial) => {
            format!("trial {trial} (loss {})", loss.map_or_else(|| "unknown".to_owned(), |loss| significant(loss.0, 5)))
        }
        None => "none".to_owned(),
    };
    let (old, new) = (show(change.old_trial, change.old_loss), show(change.new_trial, change.new_loss));
    let _ = writeln!(text, "  best of {}: {old} -> {new}", change.search);
    for label in &change.labels {
        let _ = writeln!(text, "    {}", change_line(label, "inactive"));
    }
}

fn digests(file: &FileChange) -> String {
    let show = |digest: Option<pipe_store::Digest>| digest.map_or_else(|| "absent".to_owned(), |digest| digest.short());
    format!("{} -> {}", show(file.old), show(file.new))
}

/// Writes the other files by name. Files with the same name in the trials of a search share a line, and so do several files of a folder.
fn files(changes: &[FileChange], text: &mut String) {
    let mut groups: BTreeMap<(&str, &str), Vec<&FileChange>> = BTreeMap::new();
    let folders: Vec<(&str, String)> = changes.iter().filter_map(contents).collect();
    for change in changes {
        // The line of the listing stands for the files as well.
        if folders.iter().any(|(node, contents)| change.node == *node && change.path.starts_with(contents)) {
            continue;
        }
        let group = match &change.of_trials {
            Some(trials) => (trials.as_str(), change.path.as_str()),
            None => {
                (change.node.as_str(), change.path.split_once('/').map_or(change.path.as_str(), |(folder, _)| folder))
            }
        };
        groups.entry(group).or_default().push(change);
    }
    let mut lines = Vec::new();
    for ((group, path), changes) in groups {
        match changes.as_slice() {
            [FileChange { node, path, folder: Some(files), .. }] => {
                let folder = folder_of(path).filter(|folder| !folder.is_empty());
                let place = folder.map_or_else(|| node.clone(), |folder| format!("{node}/{folder}"));
                lines.push(format!("folder {place}: {files}"));
            }
            [one, ..] if one.of_trials.is_some() && changes.len() > 1 => {
                lines.push(format!("file {group}/{path}: in {} nodes", changes.len()));
            }
            few if few.len() <= FEW => {
                let line = |one: &&FileChange| format!("file {}/{}: {}", one.node, one.path, digests(one));
                lines.extend(few.iter().map(line));
            }
            many => lines.push(format!("folder {group}/{path}: {}", several(many))),
        }
    }
    capped(&lines).iter().for_each(|line| *text += &format!("  {line}\n"));
    rest(lines.len(), "files", text);
}

/// Returns how the files of one folder changed.
fn several(changes: &[&FileChange]) -> FileChanges {
    let count = |is_meant: fn(&FileChange) -> bool| changes.iter().filter(|change| is_meant(change)).count();
    let within = |change: &&FileChange| change.path.split_once('/').map_or("", |(_, path)| path).to_owned();
    FileChanges {
        new: count(|change| change.old.is_none()),
        changed: count(|change| change.old.is_some() && change.new.is_some()),
        gone: count(|change| change.new.is_none()),
        examples: changes.iter().take(FEW).map(within).collect(),
    }
}

/// Returns the node and the start of the paths of the files that the listing of a folder has.
fn contents(change: &FileChange) -> Option<(&str, String)> {
    let (folder, _) = folder_of(&change.path).zip(change.folder.as_ref())?;
    let start = if folder.is_empty() { "files/".to_owned() } else { format!("{folder}/files/") };
    Some((&change.node, start))
}

fn divergences(divergences: &[Divergence], text: &mut String) {
    if divergences.is_empty() {
        return;
    }
    let n = divergences.len();
    let nodes = if n == 1 { "1 NODE HAS".to_owned() } else { format!("{n} NODES HAVE") };
    let _ = writeln!(text, "\n!! {nodes} EQUAL KEYS AND DIFFERENT RESULTS !!");
    text.push_str("The same action gave different results: it is not deterministic, or kernels or builds differed.\n");
    for divergence in capped(divergences) {
        let _ = writeln!(text, "! {} (key {})", divergence.node, divergence.key.0.short());
        let _ = writeln!(text, "!   old {}\n!   new {}", divergence.old, divergence.new);
        for file in &divergence.files {
            let _ = match &file.folder {
                Some(files) => writeln!(text, "!   {}: {files}", file.path),
                None => writeln!(text, "!   {}: {}", file.path, digests(file)),
            };
        }
        if let Some(origin) = divergence.provenance.as_ref().and_then(origin) {
            let _ = writeln!(text, "!   the result in the store was computed by: {origin}");
        }
    }
    rest(n, "nodes", text);
}

/// Returns the part of a provenance that decides whether results can be compared bit for bit.
fn origin(provenance: &Value) -> Option<String> {
    let Origin { instruction_set, device, pipe } = Origin::of(provenance)?;
    let facts = [("instruction set", instruction_set), ("device", device), ("pipe", pipe)];
    let facts: Vec<_> = facts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
    (!facts.is_empty()).then(|| facts.join(", "))
}

fn capped<T>(items: &[T]) -> &[T] {
    &items[..items.len().min(ROWS)]
}

fn rest(n: usize, things: &str, text: &mut String) {
    if n > ROWS {
        let _ = writeln!(text, "  … and {} more {things}", n - ROWS);
    }
}
