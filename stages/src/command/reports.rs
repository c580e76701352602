//! What a program reports while it runs: a row of metrics for each epoch.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    choices,
    params::{Domain, Read},
    problem::{Path, Problem},
    records::{HistoryRow, TrainingHistory},
    stage::{EndedEpoch, Progress},
};

choices! {
    /// How a program reports its metrics.
    pub enum Reports {
        /// It appends a JSON object to the file `{report}` after each epoch: `{"epoch": 1, "valid.accuracy": 0.9}`.
        Lines,
        /// It writes a CSV file with a column `epoch`, as the loggers of Lightning and Keras do. The path is below `{out}`.
        Csv(String),
        /// It prints lines that a regular expression matches. The groups are `epoch` and the names of metrics.
        Stdout(Pattern),
    }
}

/// A regular expression with a group `epoch` and a group for each metric.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Pattern {
    /// Returns the names of the metrics.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.0.capture_names().flatten().filter(|name| *name != EPOCH)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl Read for Pattern {
    fn read(value: &Value, domain: &Domain, at: &Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let Some(text) = value.as_str() else {
            problems.push(Problem::found(at, value).expected(Self::expected(domain)));
            return None;
        };
        let pattern = match Regex::new(text) {
            Ok(regex) => Self(regex),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                problems.push(Problem::new(at, format!("`{text}` is not a regular expression: {reason}")));
                return None;
            }
        };
        let has_epoch = pattern.0.capture_names().flatten().any(|name| name == EPOCH);
        if !has_epoch || pattern.metrics().next().is_none() {
            let found = if has_epoch { "has no group for a metric" } else { "has no group `epoch`" };
            problems.push(Problem::new(at, format!("the pattern {found}")).expected(Self::expected(domain)));
            return None;
        }
        Some(pattern)
    }

    fn expected(_: &Domain) -> String {
        r#"a regular expression with groups `epoch` and metrics: r"epoch (?<epoch>\d+) acc (?<valid.accuracy>[\d.]+)""#
            .to_owned()
    }

    fn brief(_: &Domain) -> String {
        "a regular expression".to_owned()
    }
}

const EPOCH: &str = "epoch";

/// The metrics of each epoch, as far as they were reported.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rows {
    /// The metrics by epoch, from 1.
    pub(super) epochs: BTreeMap<u32, BTreeMap<String, f64>>,
    /// What was left out, in words, each kind once.
    pub(super) ignored: BTreeSet<String>,
}

impl Reports {
    /// Returns the rows in what a program has reported. An epoch that was reported twice, as after a kill, has its last values. If
    /// the first epoch is 0, all are counted from 1. Rows after the epoch `last` are cut. The last line may be half written.
    ///
    /// # Errors
    /// If a whole line or row is not a report: what is wrong with it, and where.
    pub(super) fn rows(&self, report: &[u8], last: Option<u32>) -> Result<Rows, String> {
        let mut rows = Rows::default();
        let mut found: Vec<(u32, Vec<(String, f64)>)> = Vec::new();
        match self {
            Self::Lines => lines(report, &mut found, &mut rows.ignored)?,
            Self::Csv(path) => csv_rows(path, report, &mut found, &mut rows.ignored)?,
            Self::Stdout(pattern) => matches(pattern, report, &mut found, &mut rows.ignored),
        }
        let from_zero = u32::from(found.iter().any(|(epoch, _)| *epoch == 0));
        for (epoch, metrics) in found {
            let epoch = epoch.saturating_add(from_zero);
            if last.is_none_or(|last| epoch <= last) {
                rows.epochs.entry(epoch).or_default().extend(metrics);
            }
        }
        Ok(rows)
    }
}

impl Rows {
    /// Returns the names of the metrics, sorted.
    pub(super) fn metrics(&self) -> BTreeSet<&str> {
        self.epochs.values().flat_map(|metrics| metrics.keys()).map(String::as_str).collect()
    }

    /// Returns the (epoch, value) pairs of a metric.
    pub(super) fn curve(&self, metric: &str) -> Vec<(u32, f64)> {
        self.epochs.iter().filter_map(|(epoch, metrics)| Some((*epoch, *metrics.get(metric)?))).collect()
    }

    /// Returns the table of all metrics. A metric that was not reported in an epoch is NaN there.
    pub(super) fn history(&self) -> TrainingHistory {
        let metrics: Vec<String> = self.metrics().into_iter().map(str::to_owned).collect();
        let row = |(epoch, values): (&u32, &BTreeMap<String, f64>)| HistoryRow {
            epoch: *epoch,
            values: metrics.iter().map(|metric| values.get(metric).copied().unwrap_or(f64::NAN)).collect(),
            weights: None,
        };
        let rows = self.epochs.iter().map(row).collect();
        TrainingHistory { metrics, rows }
    }

    /// Returns the progress of a program that is asked for `total` epochs.
    pub(super) fn progress(&self, total: Option<u32>) -> Progress {
        let (done, latest) = self.epochs.last_key_value().map_or((0, None), |(epoch, latest)| (*epoch, Some(latest)));
        let of = |name: &str| latest.and_then(|latest| latest.get(name)).map(|value| *value as f32);
        let total_or_done = total.unwrap_or(done);
        Progress {
            done: u64::from(done),
            total: u64::from(total.unwrap_or(0)),
            unit: "epochs".to_owned(),
            epoch: (done > 0).then_some((done, total_or_done)),
            loss: of("train.loss").or_else(|| of("loss")),
            accuracy: of("train.accuracy").or_else(|| of("accuracy")),
            ended: latest.map(|latest| {
                let numbers = latest.iter().filter(|(_, value)| value.is_finite());
                EndedEpoch {
                    epoch: done,
                    metrics: numbers.map(|(name, value)| (name.clone(), *value as f32)).collect(),
                }
            }),
            memory: None,
        }
    }
}

type Found = Vec<(u32, Vec<(String, f64)>)>;

fn lines(report: &[u8], found: &mut Found, ignored: &mut BTreeSet<String>) -> Result<(), String> {
    for (number, line) in (1..).zip(report.split_inclusive(|byte| *byte == b'\n')) {
        let is_whole = line.ends_with(b"\n");
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        // Python's `json` writes NaN and infinities as bare words, which are not JSON.
        let value: Value = match serde_json::from_str(text).or_else(|_| serde_json::from_str(&with_quoted_words(text)))
        {
            Ok(value) => value,
            Err(_) if !is_whole => continue,
            Err(error) => return Err(format!("line {number} of `{{report}}` is not JSON: {error}: `{text}`")),
        };
        let mut row = Vec::new();
        let Value::Object(fields) = &value else {
            return Err(format!("line {number} of `{{report}}` is not an object: `{text}`"));
        };
        let epoch = fields.get(EPOCH).and_then(whole);
        let Some(epoch) = epoch else {
            return Err(format!("line {number} of `{{report}}` has no whole number `epoch`: `{text}`"));
        };
        flatten("", &value, &mut row, ignored);
        row.retain(|(name, _)| name != EPOCH);
        found.push((epoch, row));
    }
    Ok(())
}

/// Returns JSON with the words NaN, Infinity and -Infinity outside of strings in quotes.
pub(super) fn with_quoted_words(text: &str) -> String {
    let (mut out, mut rest, mut in_string) = (String::with_capacity(text.len() + 8), text, false);
    while let Some(c) = rest.chars().next() {
        if !in_string && let Some(word) = ["NaN", "-Infinity", "Infinity"].iter().find(|word| rest.starts_with(**word))
        {
            out.push('"');
            out.push_str(word);
            out.push('"');
            rest = &rest[word.len()..];
            continue;
        }
        let n = if in_string && c == '\\' { rest.chars().take(2).map(char::len_utf8).sum() } else { c.len_utf8() };
        in_string ^= c == '"';
        out.push_str(&rest[..n]);
        rest = &rest[n..];
    }
    out
}

/// Adds the numbers in a JSON value, by their paths with dots: `valid.accuracy`.
pub(super) fn flatten(name: &str, value: &Value, row: &mut Vec<(String, f64)>, ignored: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let inner = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&inner, value, row, ignored);
            }
        }
        value => match number(value) {
            Some(number) => row.push((name.to_owned(), number)),
            None => drop(ignored.insert(format!("`{name}` is not a number"))),
        },
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => word(text),
        _ => None,
    }
}

/// Returns the number that a word such as `NaN` stands for.
fn word(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<u32> {
    let x = value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(x))?;
    Some(x as u32)
}

fn csv_rows(path: &str, report: &[u8], found: &mut Found, ignored: &mut BTreeSet<String>) -> Result<(), String> {
    // A line that is still being written has no end.
    let whole_lines = report.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(&report[..whole_lines]);
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(str::to_owned).collect(),
        Err(error) => return Err(format!("`{path}` is not CSV: {error}")),
    };
    if whole_lines == 0 {
        return Ok(());
    }
    let Some(of_epoch) = header.iter().position(|name| name == EPOCH) else {
        return Err(format!("`{path}` has no column `epoch`: its columns are {}", header.join(", ")));
    };
    for (line, cells) in (2..).zip(reader.records()) {
        let cells = cells.map_err(|error| format!("`{path}`, line {line}: {error}"))?;
        let epoch = cells.get(of_epoch).unwrap_or_default();
        let epoch = epoch.parse::<f64>().ok().and_then(|x| whole(&x.into()));
        let Some(epoch) = epoch else {
            return Err(format!("`{path}`, line {line}: the epoch is no whole number"));
        };
        let mut row = Vec::new();
        for (name, cell) in header.iter().zip(&cells).filter(|(name, cell)| *name != EPOCH && !cell.is_empty()) {
            match cell.parse::<f64>().ok().or_else(|| word(cell)) {
                Some(value) => row.push((name.clone(), value)),
                None => drop(ignored.insert(format!("`{name}` is not a number"))),
            }
        }
        found.push((epoch, row));
    }
    Ok(())
}

fn matches(pattern: &Pattern, report: &[u8], found: &mut Found, ignored: &mut BTreeSet<String>) {
    // A progress bar overwrites its line by carriage returns.
    for line in report.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = String::from_utf8_lossy(line);
        let Some(groups) = pattern.0.captures(&line) else { continue };
        let Some(epoch) = groups.name(EPOCH).and_then(|text| text.as_str().parse().ok()) else {
            ignored.insert(format!("the epoch of `{}` is no whole number", line.trim()));
            continue;
        };
        let mut row = Vec::new();
        for metric in pattern.metrics() {
            let Some(text) = groups.name(metric).map(|group| group.as_str().trim()) else { continue };
            match text.parse::<f64>().ok().or_else(|| word(text)) {
                Some(value) => row.push((metric.to_owned(), value)),
                None => drop(ignored.insert(format!("`{metric}` is not a number"))),
            }
        }
        found.push((epoch, row));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reports(json: Value) -> Reports {
        crate::params::read(&json).unwrap()
    }

    /// Returns the history of a report as CSV.
    fn table(reports: &Reports, report: &str, last: Option<u32>) -> Result<String, String> {
        let rows = reports.rows(report.as_bytes(), last)?;
        Ok(String::from_utf8(rows.history().write()).unwrap())
    }

    #[test]
    fn json_lines_are_rows() {
        let lines = reports(json!("Lines"));
        let report = "{\"epoch\": 1, \"valid.accuracy\": 0.5, \"train\": {\"loss\": NaN}}\n\n{\"epoch\": 2.0, \"valid.accuracy\": \"inf\"}\n{\"epo";
        assert_eq!(table(&lines, report, None).unwrap(), "epoch,train.loss,valid.accuracy\n1,NaN,0.5\n2,NaN,inf\n");
        // After a kill, epochs come again. What lies beyond the end of a shorter run is cut.
        let report = "{\"epoch\":1,\"a\":1}\n{\"epoch\":2,\"a\":2}\n{\"epoch\":2,\"a\":3}\n{\"epoch\":3,\"a\":4}\n";
        assert_eq!(table(&lines, report, Some(2)).unwrap(), "epoch,a\n1,1\n2,3\n");
        let refused = |report: &str, expected: &str| assert_eq!(table(&lines, report, None).unwrap_err(), expected);
        refused("[1]\n", "line 1 of `{report}` is not an object: `[1]`");
        refused("{\"a\": 1}\n", "line 1 of `{report}` has no whole number `epoch`: `{\"a\": 1}`");
        assert!(table(&lines, "{\n", None).unwrap_err().starts_with("line 1 of `{report}` is not JSON"));
    }

    #[test]
    fn words_in_strings_stay() {
        assert_eq!(
            with_quoted_words(r#"{"NaN \" NaN": NaN, "b": -Infinity}"#),
            r#"{"NaN \" NaN": "NaN", "b": "-Infinity"}"#
        );
    }

    #[test]
    fn the_logs_of_lightning_and_keras_are_rows() {
        let csv = reports(json!({ "Csv": "log.csv" }));
        let lightning = "epoch,step,train_loss,val_acc\n0,49,0.9,\n0,49,,0.4\n1,99,0.5,\n1,99,,0.6\n2,";
        let expected = "epoch,step,train_loss,val_acc\n1,49,0.9,0.4\n2,99,0.5,0.6\n";
        assert_eq!(table(&csv, lightning, None).unwrap(), expected);
        let keras = "epoch,accuracy,loss\n0,0.1,2.5\n1,0.2,nan\n";
        assert_eq!(table(&csv, keras, Some(1)).unwrap(), "epoch,accuracy,loss\n1,0.1,2.5\n");
        assert_eq!(table(&csv, "", None).unwrap(), "epoch\n");
        let refused = table(&csv, "step,loss\n1,2\n", None).unwrap_err();
        assert_eq!(refused, "`log.csv` has no column `epoch`: its columns are step, loss");
    }

    #[test]
    fn printed_lines_that_match_are_rows() {
        let printed = reports(json!({ "Stdout": r"epoch (?<epoch>\d+).* acc (?<valid.accuracy>[\w.]+)" }));
        let report = "hello\n[epoch 1/3] acc 0.25\r[epoch 2/3] acc nan\nepoch x acc 1\n";
        assert_eq!(table(&printed, report, None).unwrap(), "epoch,valid.accuracy\n1,0.25\n2,NaN\n");
        let refused =
            |pattern: &str| crate::params::read::<Reports>(&json!({ "Stdout": pattern })).unwrap_err()[0].to_string();
        assert!(refused("(").contains("is not a regular expression: unclosed group"), "{}", refused("("));
        assert!(refused("(?<a>x)").contains("has no group `epoch`"));
        assert!(refused(r"(?<epoch>\d)").contains("has no group for a metric"));
    }

    #[test]
    fn what_is_not_a_number_is_told() {
        let rows = reports(json!("Lines")).rows(b"{\"epoch\":1,\"note\":\"x\",\"ok\":true,\"a\":1}\n", None).unwrap();
        assert_eq!(rows.ignored.into_iter().collect::<Vec<_>>(), ["`note` is not a number", "`ok` is not a number"]);
    }

    #[test]
    fn progress_is_the_last_epoch() {
        let rows = reports(json!("Lines")).rows(b"{\"epoch\":3,\"train.loss\":0.5}\n", None).unwrap();
        let progress = rows.progress(Some(10));
        assert_eq!((progress.done, progress.total, progress.epoch, progress.loss), (3, 10, Some((3, 10)), Some(0.5)));
    }
}
