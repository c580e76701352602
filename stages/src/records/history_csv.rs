//! `history.csv`: the metrics of each epoch of a training, or of a program that reports some.

use std::fmt::Display;

use pipe_store::Digest;

use super::RecordError;

/// `history.csv`: a row for each epoch with every metric and the digest of the weights. A program's own has no weights.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingHistory {
    /// The names of the metrics, such as `valid.fine_accuracy`, in the order of their columns.
    pub metrics: Vec<String>,
    /// The epochs, in order.
    pub rows: Vec<HistoryRow>,
}

/// One epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    /// The epoch's number, from 1.
    pub epoch: u32,
    /// The value of each metric.
    pub values: Vec<f64>,
    /// The digest of the weights at the end of the epoch. `None` in every row if it is not known.
    pub weights: Option<Digest>,
}

const EPOCH: &str = "epoch";
const WEIGHTS: &str = "weights";

impl TrainingHistory {
    /// The name of the file in the output tree.
    pub const FILE: &str = "history.csv";

    /// Returns the (epoch, value) pairs of a metric, or `None` if there is no such metric.
    pub fn curve(&self, metric: &str) -> Option<Vec<(f64, f64)>> {
        let at = self.metrics.iter().position(|known| known == metric)?;
        Some(self.rows.iter().map(|row| (f64::from(row.epoch), row.values[at])).collect())
    }

    /// Returns the last epoch up to which both trainings have equal weights, or equal metrics where the weights are not known. 0 if
    /// the first epoch differs.
    pub fn equal_until(&self, other: &Self) -> usize {
        let same_values = |ours: &HistoryRow, theirs: &HistoryRow| {
            let bits = |row: &HistoryRow| row.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            self.metrics == other.metrics && bits(ours) == bits(theirs)
        };
        let equal = |ours: &HistoryRow, theirs: &HistoryRow| match (ours.weights, theirs.weights) {
            (None, None) => same_values(ours, theirs),
            (ours, theirs) => ours == theirs,
        };
        self.rows.iter().zip(&other.rows).take_while(|(ours, theirs)| equal(ours, theirs)).count()
    }

    /// Returns the names of the training's heads, in the order of their columns.
    pub fn heads(&self) -> Vec<&str> {
        self.metrics.iter().filter_map(|metric| metric.strip_prefix("train.")?.strip_suffix("_accuracy")).collect()
    }

    /// Returns the bytes of the file.
    pub fn write(&self) -> Vec<u8> {
        let weights = self.rows.iter().any(|row| row.weights.is_some()).then(|| WEIGHTS.to_owned());
        let header = [EPOCH.to_owned()].into_iter().chain(self.metrics.iter().cloned()).chain(weights);
        let row = |row: &HistoryRow| {
            let values = row.values.iter().map(f64::to_string);
            let cells =
                [row.epoch.to_string()].into_iter().chain(values).chain(row.weights.map(|weights| weights.to_string()));
            cells.collect::<Vec<_>>()
        };
        csv([header.collect()].into_iter().chain(self.rows.iter().map(row)))
    }

    /// Reads the bytes of the file.
    ///
    /// # Errors
    /// Returns the line and column of the first mistake.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = csv::Reader::from_reader(bytes);
        let header = reader.headers().map_err(|error| wrong(".", error))?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        let metrics = match columns.as_slice() {
            [first, metrics @ .., last] if first == EPOCH && last == WEIGHTS => metrics.to_vec(),
            [first, metrics @ ..] if first == EPOCH => metrics.to_vec(),
            _ => return Err(wrong(".", format!("its first column is not `{EPOCH}`"))),
        };
        let has_weights = columns.last().is_some_and(|last| last == WEIGHTS);
        let mut rows = Vec::new();
        for (line, cells) in (2..).zip(reader.records()) {
            let cells = cells.map_err(|error| wrong(".", error))?;
            rows.push(HistoryRow {
                epoch: parsed(line, EPOCH, &cells[0])?,
                values: metrics
                    .iter()
                    .zip(cells.iter().skip(1))
                    .map(|(metric, cell)| parsed(line, metric, cell))
                    .collect::<Result<_, _>>()?,
                weights: has_weights.then(|| parsed(line, WEIGHTS, &cells[cells.len() - 1])).transpose()?,
            });
        }
        Ok(Self { metrics, rows })
    }
}

fn parsed<T: std::str::FromStr<Err: Display>>(line: usize, column: &str, cell: &str) -> Result<T, RecordError> {
    cell.parse().map_err(|error| wrong(&format!("line {line}, {column}"), format!("`{cell}`: {error}")))
}

fn wrong(field: &str, reason: impl ToString) -> RecordError {
    RecordError::Field { field: field.to_owned(), reason: reason.to_string() }
}

/// Returns rows as CSV. Cells are quoted only if necessary.
pub(super) fn csv(rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.for_each(|row| writer.write_record(&row).expect("rows have one length, and writing to memory cannot fail"));
    writer.into_inner().expect("flushing to memory cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_with_numbers_that_are_not_finite_is_read_as_it_was_written() {
        let row =
            |epoch, values: [f64; 2]| HistoryRow { epoch, values: values.to_vec(), weights: Some(Digest::of(b"w")) };
        let rows = vec![row(1, [0.1 + 0.2, 1.0]), row(2, [f64::INFINITY, -0.5])];
        let history = TrainingHistory { metrics: vec!["train.loss".into(), "valid.a,b_loss".into()], rows };
        let file = history.write();
        let digest = Digest::of(b"w");
        let expected = format!(
            "epoch,train.loss,\"valid.a,b_loss\",weights\n1,0.30000000000000004,1,{digest}\n2,inf,-0.5,{digest}\n"
        );
        assert_eq!(String::from_utf8(file.clone()).unwrap(), expected);
        assert_eq!(TrainingHistory::read(&file).unwrap(), history);
        let nan = TrainingHistory::read(expected.replace("inf", "NaN").as_bytes()).unwrap();
        assert!(nan.rows[1].values[0].is_nan());
    }

    fn history(metrics: &[&str], weights: &[&[u8]]) -> TrainingHistory {
        let row = |(epoch, weights): (u32, &&[u8])| {
            let values = (0..metrics.len()).map(|at| f64::from(epoch) + 0.25 * at as f64).collect();
            HistoryRow { epoch, values, weights: Some(Digest::of(weights)) }
        };
        let metrics = metrics.iter().map(|metric| (*metric).to_owned()).collect();
        TrainingHistory { metrics, rows: (1..).zip(weights).map(row).collect() }
    }

    #[test]
    fn metrics_are_found_by_name_and_heads_by_their_accuracy() {
        let metrics =
            ["train.loss", "train.fine_loss", "train.fine_accuracy", "train.a_b_accuracy", "valid.c_accuracy"];
        let history = history(&metrics, &[b"a", b"b"]);
        assert_eq!(history.curve("train.fine_loss"), Some(vec![(1.0, 1.25), (2.0, 2.25)]));
        assert_eq!(history.curve("epoch"), None);
        assert_eq!(history.heads(), ["fine", "a_b"]);
    }

    #[test]
    fn trainings_are_equal_until_their_weights_differ() {
        let long = history(&[], &[b"a", b"b", b"c", b"d"]);
        assert_eq!(long.equal_until(&history(&[], &[b"a", b"b", b"x"])), 2);
        assert_eq!(long.equal_until(&history(&[], &[b"a", b"b"])), 2);
        assert_eq!(long.equal_until(&history(&[], &[b"x", b"b"])), 0);
    }

    #[test]
    fn a_history_without_weights_has_no_column_for_them_and_is_compared_by_its_metrics() {
        let row = |epoch, value| HistoryRow { epoch, values: vec![value], weights: None };
        let history = TrainingHistory { metrics: vec!["a".into()], rows: vec![row(1, 0.5), row(2, f64::NAN)] };
        assert_eq!(String::from_utf8(history.write()).unwrap(), "epoch,a\n1,0.5\n2,NaN\n");
        let read = TrainingHistory::read(&history.write()).unwrap();
        assert_eq!(history.equal_until(&read), 2);
        let other = TrainingHistory { rows: vec![row(1, 0.5), row(2, 1.0)], ..history.clone() };
        assert_eq!(history.equal_until(&other), 1);
    }

    #[test]
    fn an_error_names_the_line_and_the_column() {
        let check = |text: &str, expected: &str| {
            let error = TrainingHistory::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "its first column is not `epoch`");
        check("valid.loss,epoch\n1,2\n", "its first column is not `epoch`");
        check("epoch,valid.loss,weights\n1,x,aa\n", "`line 2, valid.loss`: `x`: invalid float");
        check("epoch,valid.loss,weights\n1,2\n", "found record with 2 fields");
        let digest = Digest::of(b"w");
        check(&format!("epoch,valid.loss,weights\n1,2,{digest}\n-2,2,{digest}\n"), "`line 3, epoch`: `-2`");
    }
}
