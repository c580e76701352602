//! A training's history.csv: one row per epoch.

/// The columns of a history. Invariant: each row has as many cells as there are columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl History {
    /// Reads a CSV without quotes, as `train` writes it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let columns = lines.next().ok_or("it is empty")?;
        let rows: Vec<_> = lines.collect();
        match rows.iter().position(|row| row.len() != columns.len()) {
            Some(at) => Err(format!("line {} has {} cells, not {}", at + 2, rows[at].len(), columns.len())),
            None => Ok(Self { columns, rows }),
        }
    }

    /// Returns how many epochs there are.
    pub(crate) fn epochs(&self) -> usize {
        self.rows.len()
    }

    /// Returns the names of the columns.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// Returns a column's texts.
    pub(crate) fn texts(&self, column: &str) -> Option<impl Iterator<Item = &str>> {
        let at = self.columns.iter().position(|name| name == column)?;
        Some(self.rows.iter().map(move |row| row[at].as_str()))
    }

    /// Returns a column over its epochs: (epoch, value). What is no number is NaN.
    pub(crate) fn curve(&self, column: &str) -> Option<Vec<(f64, f64)>> {
        let number = |text: &str| text.parse().unwrap_or(f64::NAN);
        let values = self.texts(column)?.map(number);
        Some(match self.texts("epoch") {
            Some(epochs) => epochs.map(number).zip(values).collect(),
            None => (1..).map(f64::from).zip(values).collect(),
        })
    }

    /// Returns the last epoch up to which both trainings had equal weights; 0 if they never had, nothing if that was not
    /// recorded.
    pub(crate) fn equal_until(&self, other: &Self) -> Option<usize> {
        let (ours, theirs) = (self.texts("weights")?, other.texts("weights")?);
        Some(ours.zip(theirs).take_while(|(ours, theirs)| ours == theirs).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_what_is_no_number_is_nan() {
        let history = History::parse(b"epoch,valid.loss,weights\n1,0.5,aa\n2,NaN,bb\n3,,cc\n").unwrap();
        let curve = history.curve("valid.loss").unwrap();
        assert_eq!(curve[0], (1.0, 0.5));
        assert!(curve[1].1.is_nan() && curve[2].1.is_nan());
        assert_eq!((history.epochs(), history.curve("no")), (3, None));
    }

    #[test]
    fn trainings_are_equal_as_long_as_their_weights_are() {
        let parse = |weights: &[&str]| {
            let rows = weights.iter().enumerate().map(|(i, weights)| format!("{i},{weights}\n"));
            History::parse(format!("epoch,weights\n{}", rows.collect::<String>()).as_bytes()).unwrap()
        };
        let long = parse(&["a", "b", "c", "d"]);
        assert_eq!(long.equal_until(&parse(&["a", "b"])), Some(2));
        assert_eq!(long.equal_until(&parse(&["a", "x", "c"])), Some(1));
        assert_eq!(long.equal_until(&parse(&["x"])), Some(0));
        assert_eq!(long.equal_until(&History::parse(b"epoch\n1\n").unwrap()), None);
    }

    #[test]
    fn a_short_row_is_an_error_that_names_its_line() {
        assert_eq!(History::parse(b"epoch,loss\n1,2\n3\n").unwrap_err(), "line 3 has 1 cells, not 2");
        assert!(History::parse(b"").is_err());
    }
}
