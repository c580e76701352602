//! Writes trials as text and as CSV.

use pipe_stages::params::Float;
use serde_json::Value;

use super::{TrialRow, label_names, metric_names, setting_names};
use crate::text::{Align, cell, columns, grouped, significant};

/// Returns the trials as aligned columns. The best one is marked with `*`, and empty columns are left out.
pub fn render_text(rows: &[TrialRow]) -> String {
    let labels = label_names(rows);
    let objective = objective(rows);
    let mut header = vec!["", "trial", "status", objective.as_str(), "epoch", "epochs", "parameters"];
    let n_own = header.len();
    header.extend(labels.iter().map(String::as_str));
    header.push("reason");
    let several = rows.iter().any(|row| row.search != rows[0].search);
    let float = |x: Option<Float>| x.map(|x| significant(x.0, 4)).unwrap_or_default();
    let count = |n: Option<u64>| n.map(grouped).unwrap_or_default();
    let line = |row: &TrialRow| {
        let trial = if several { format!("{}/{:03}", row.search, row.index) } else { format!("{:03}", row.index) };
        let mark = if row.best { "*" } else { "" };
        let own = [
            mark.to_owned(),
            trial,
            row.status.clone(),
            float(row.value.or(row.loss)),
            count(row.best_epoch),
            count(row.epochs),
        ];
        let label = |label: &String| row.labels.get(label).map(cell).unwrap_or_default();
        let own = own.into_iter().chain([count(row.parameters)]);
        own.chain(labels.iter().map(label)).chain([row.reason.clone().unwrap_or_default()]).collect::<Vec<_>>()
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    let is_text =
        |name: &String| rows.iter().any(|row| matches!(row.labels.get(name), Some(Value::String(_) | Value::Bool(_))));
    let left: Vec<_> = labels.iter().map(is_text).collect();
    columns(&header, &lines, &|at| match at {
        0..3 => Align::Left,
        _ if at < n_own => Align::Right,
        _ if left.get(at - n_own).copied().unwrap_or(true) => Align::Left,
        _ => Align::Right,
    })
}

/// Returns the metric that was optimised, or `objective` if trials optimised different ones.
fn objective(rows: &[TrialRow]) -> String {
    let mut names = rows.iter().filter_map(|row| row.metric.as_deref());
    match names.next() {
        Some(first) if names.all(|name| name == first) => first.to_owned(),
        _ => "objective".to_owned(),
    }
}

/// Returns the trials as CSV (RFC 4180, lines end with CR LF) at full precision. The columns of the trial come first, then
/// `label.<name>` as proposed, `setting.<name>` as used, and the metrics.
pub fn render_csv(rows: &[TrialRow]) -> String {
    let (labels, settings, metrics) = (label_names(rows), setting_names(rows), metric_names(rows));
    let own = [
        "search",
        "trial",
        "node",
        "status",
        "best",
        "metric",
        "value",
        "loss",
        "best_epoch",
        "epochs",
        "parameters",
        "reason",
    ];
    let header = own.map(str::to_owned).into_iter();
    let header = header.chain(labels.iter().map(|label| format!("label.{label}")));
    let header = header.chain(settings.iter().map(|name| format!("setting.{name}"))).chain(metrics.iter().cloned());
    let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    csv.write_record(header).expect("memory takes rows of one length");
    let float = |x: Option<&Float>| x.map(|x| x.0.to_string()).unwrap_or_default();
    let count = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    for row in rows {
        let own = [
            row.search.clone(),
            row.index.to_string(),
            row.node.clone(),
            row.status.clone(),
            row.best.to_string(),
            text(&row.metric),
            float(row.value.as_ref()),
            float(row.loss.as_ref()),
            count(row.best_epoch),
            count(row.epochs),
            count(row.parameters),
            text(&row.reason),
        ];
        let labels = labels.iter().map(|label| row.labels.get(label).map(exact).unwrap_or_default());
        let settings = settings.iter().map(|name| row.settings.get(name).map(exact).unwrap_or_default());
        let metrics = metrics.iter().map(|metric| float(row.metrics.get(metric)));
        let row = own.into_iter().chain(labels).chain(settings).chain(metrics);
        csv.write_record(row).expect("memory takes rows of one length");
    }
    String::from_utf8(csv.into_inner().expect("memory can be flushed")).expect("cells are text")
}

fn exact(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        testing::{Builder, Trial},
        trials::table,
    };

    fn rows() -> Vec<TrialRow> {
        let (store, study) =
            Builder::new().search("search", &[Trial::completed(0.3), Trial::diverged(), Trial::completed(0.5)]).done();
        table(&store, &study).unwrap()
    }

    #[test]
    fn text_has_aligned_columns_and_marks_the_best() {
        let expected =
            "   trial  status     valid.fine_accuracy  epoch  epochs  parameters  activation  lr_rate_mult  reason
   000    completed                  0.3      3       4       3,292  relu                   1
   001    diverged                   NaN              4       3,292  elu                 1.25  the loss is NaN
*  002    completed                  0.5      3       4       3,292  relu                 1.5
";
        assert_eq!(render_text(&rows()), expected);
    }

    #[test]
    fn csv_quotes_what_needs_it_and_keeps_precision() {
        let mut rows = rows();
        rows[1].reason = Some("a \"b\", c".to_owned());
        rows[2].value = Some(Float(0.123_456_789_012_345_6));
        let csv = render_csv(&rows);
        let lines: Vec<_> = csv.split_terminator("\r\n").collect();
        assert!(lines[0].starts_with(
            "search,trial,node,status,best,metric,value,loss,best_epoch,epochs,parameters,reason,label.activation"
        ));
        assert!(lines[2].contains("\"a \"\"b\"\", c\""), "{}", lines[2]);
        assert!(lines[3].contains(",0.1234567890123456,"), "{}", lines[3]);
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn without_trials_only_the_header_is_written() {
        assert_eq!(render_csv(&[]).lines().count(), 1);
        assert_eq!(render_text(&[]).lines().count(), 1);
    }
}
