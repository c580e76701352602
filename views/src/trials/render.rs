//! Writes trials as text and as CSV.

use pipe_stages::params::Float;
use serde_json::Value;

use super::{Column, TrialRow, label_names, metric_names, setting_names};
use crate::{
    ViewError,
    text::{Align, cell, columns, counted, grouped, significant},
};

/// How trials are laid out as text.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// The most characters of a line. Hyperparameters that do not fit are left out, the least important first. `None` for any.
    pub width: Option<usize>,
    /// The most trials that are shown. `None` for all.
    pub rows: Option<usize>,
    /// Hyperparameters, the most important first. Others come after them, by name.
    pub order: Vec<String>,
    /// Whether to show everything that is known of a trial, and not only what varies.
    pub wide: bool,
    /// The columns to show instead, by name, as [`sort`](super::sort) takes them.
    pub columns: Option<Vec<String>>,
}

/// A column of the text.
struct Shown {
    header: String,
    cells: Vec<String>,
    is_number: bool,
}

impl Shown {
    fn new(header: &str, is_number: bool, rows: &[TrialRow], cell: impl Fn(&TrialRow) -> String) -> Self {
        Self { header: header.to_owned(), is_number, cells: rows.iter().map(cell).collect() }
    }

    /// Returns its width with the space before it. Columns without content are not shown.
    fn width(&self) -> usize {
        let widest = self.cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        if widest == 0 { 0 } else { widest.max(self.header.chars().count()) + 2 }
    }

    fn varies(&self) -> bool {
        self.cells.iter().any(|cell| *cell != self.cells[0])
    }
}

/// Returns the trials as aligned columns: the score, and the hyperparameters that vary. The best one is marked with `*`.
///
/// # Errors
/// If there is no column of a name in `layout`, with the columns that may be meant.
pub fn render_text(rows: &[TrialRow], layout: &Layout) -> Result<String, ViewError> {
    let shown = &rows[..layout.rows.unwrap_or(rows.len()).min(rows.len())];
    let several = rows.iter().any(|row| row.search != rows[0].search);
    let float = |x: Option<Float>| x.map(|x| significant(x.0, 4)).unwrap_or_default();
    let count = |n: Option<u64>| n.map(grouped).unwrap_or_default();
    let first = |text: &Option<String>| text.iter().flat_map(|text| text.lines().next()).collect::<String>();
    let mut before = vec![
        Shown::new("", false, shown, |row| if row.best { "*".to_owned() } else { String::new() }),
        Shown::new("trial", false, shown, |row| match several {
            true => format!("{}/{:03}", row.search, row.index),
            false => format!("{:03}", row.index),
        }),
    ];
    let status = Shown::new("status", false, shown, |row| row.status.clone());
    if layout.wide || rows.iter().any(|row| !row.is_completed()) {
        before.push(status);
    }
    before.push(Shown::new(&objective(rows), true, shown, |row| float(row.value.or(row.loss))));
    let mut between = Vec::new();
    let mut after = Vec::new();
    if let Some(names) = &layout.columns {
        for name in names {
            let column = Column::find(rows, name)?;
            let is_number =
                !rows.iter().any(|row| matches!(column.value(row), Some(Value::String(_) | Value::Bool(_))));
            let cell = |row: &TrialRow| column.value(row).as_ref().map(cell).unwrap_or_default();
            between.push(Shown::new(column.name(), is_number, shown, cell));
        }
    } else {
        if layout.wide {
            before.push(Shown::new("epoch", true, shown, |row| count(row.best_epoch)));
            before.push(Shown::new("epochs", true, shown, |row| count(row.epochs)));
            before.push(Shown::new("parameters", true, shown, |row| count(row.parameters)));
            before.push(Shown::new("by", false, shown, |row| first(&row.by)));
        }
        let mut names = label_names(rows);
        let rank = |name: &String| layout.order.iter().position(|known| known == name).unwrap_or(layout.order.len());
        names.sort_by_key(rank);
        for name in names {
            let is_text = |row: &TrialRow| matches!(row.labels.get(&name), Some(Value::String(_) | Value::Bool(_)));
            let column = Shown::new(&name, !rows.iter().any(is_text), shown, |row| {
                row.labels.get(&name).map(cell).unwrap_or_default()
            });
            if layout.wide || shown.len() < 2 || column.varies() {
                between.push(column);
            }
        }
        after.push(Shown::new("reason", false, shown, |row| first(&row.reason)));
    }
    let mut left_out = 0;
    if let Some(width) = layout.width.filter(|_| !layout.wide && layout.columns.is_none()) {
        let mut free = width + 2;
        for column in &before {
            free = free.saturating_sub(column.width());
        }
        // A reason may take half of what is left, and is cut there.
        for column in &mut after {
            let room = free / 2;
            for cell in column.cells.iter_mut().filter(|cell| cell.chars().count() + 2 > room) {
                *cell = format!("{}..", cell.chars().take(room.saturating_sub(4)).collect::<String>());
            }
            free = free.saturating_sub(column.width());
        }
        let fits = between.iter().take_while(|column| {
            let there_is_room = column.width() <= free;
            free = free.saturating_sub(column.width());
            there_is_room
        });
        let fitting = fits.count();
        left_out = between.len() - fitting;
        between.truncate(fitting);
    }
    let all: Vec<Shown> = before.into_iter().chain(between).chain(after).collect();
    let header: Vec<&str> = all.iter().map(|column| column.header.as_str()).collect();
    let lines: Vec<Vec<String>> =
        (0..shown.len()).map(|at| all.iter().map(|column| column.cells[at].clone()).collect()).collect();
    let mut text = columns(&header, &lines, &|at| if all[at].is_number { Align::Right } else { Align::Left });
    let mut notes = Vec::new();
    if shown.len() < rows.len() {
        notes.push(format!("{} more (--all)", counted(rows.len() - shown.len(), "trial")));
    }
    if left_out > 0 {
        notes.push(format!("{} more (--wide, --columns)", counted(left_out, "hyperparameter")));
    }
    if !notes.is_empty() {
        text += &format!("{}\n", notes.join(", "));
    }
    Ok(text)
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
        "by",
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
            text(&row.by),
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
        let text = |layout: &Layout| render_text(&rows(), layout).unwrap();
        let expected = "   trial  status     valid.fine_accuracy  activation  lr_rate_mult  reason
   000    completed                  0.3  relu                   1
   001    diverged                   NaN  elu                 1.25  the loss is NaN
*  002    completed                  0.5  relu                 1.5
";
        assert_eq!(text(&Layout::default()), expected);
        let expected =
            "   trial  status     valid.fine_accuracy  epoch  epochs  parameters  activation  lr_rate_mult  reason
   000    completed                  0.3      3       4       3,292  relu                   1
   001    diverged                   NaN              4       3,292  elu                 1.25  the loss is NaN
*  002    completed                  0.5      3       4       3,292  relu                 1.5
";
        assert_eq!(text(&Layout { wide: true, width: Some(20), ..Layout::default() }), expected);
    }

    #[test]
    fn text_fits_a_width_and_shows_the_most_important_hyperparameters() {
        let order = vec!["lr_rate_mult".to_owned(), "activation".to_owned()];
        let layout = Layout { width: Some(60), rows: Some(1), order, ..Layout::default() };
        let mut all = rows();
        all.remove(1);
        all[0].labels.insert("activation".to_owned(), "elu".into());
        let layout = Layout { rows: None, ..layout };
        let expected = "   trial  valid.fine_accuracy  lr_rate_mult  activation
   000                    0.3             1  elu
*  002                    0.5           1.5  relu
";
        assert_eq!(render_text(&all, &layout).unwrap(), expected);
        let expected = "   trial  valid.fine_accuracy  lr_rate_mult
   000                    0.3             1
*  002                    0.5           1.5
1 hyperparameter more (--wide, --columns)
";
        assert_eq!(render_text(&all, &Layout { width: Some(50), ..layout.clone() }).unwrap(), expected);
        let layout = Layout { rows: Some(1), columns: Some(vec!["epochs".to_owned()]), ..layout };
        let expected = "trial  valid.fine_accuracy  epochs
000                    0.3       4
1 trial more (--all)
";
        assert_eq!(render_text(&all, &layout).unwrap(), expected);
        let layout = Layout { columns: Some(vec!["activatoin".to_owned()]), ..layout };
        assert!(render_text(&all, &layout).unwrap_err().to_string().contains("did you mean `activation`?"));
        // No line is wider, whatever the width.
        for width in 20..100 {
            let layout = Layout { width: Some(width), ..Layout::default() };
            let text = render_text(&rows(), &layout).unwrap();
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.max(50), "{width}: {text}");
        }
    }

    #[test]
    fn csv_quotes_what_needs_it_and_keeps_precision() {
        let mut rows = rows();
        rows[1].reason = Some("a \"b\", c".to_owned());
        rows[2].value = Some(Float(0.123_456_789_012_345_6));
        let csv = render_csv(&rows);
        let lines: Vec<_> = csv.split_terminator("\r\n").collect();
        assert!(lines[0].starts_with(
            "search,trial,node,status,best,metric,value,loss,best_epoch,epochs,parameters,by,reason,label.activation"
        ));
        assert!(lines[2].contains("\"a \"\"b\"\", c\""), "{}", lines[2]);
        assert!(lines[3].contains(",0.1234567890123456,"), "{}", lines[3]);
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn without_trials_only_the_header_is_written() {
        assert_eq!(render_csv(&[]).lines().count(), 1);
        assert_eq!(render_text(&[], &Layout::default()).unwrap().lines().count(), 1);
    }
}
