//! Texts that a pipeline is read from, and places in them.

/// A named text: `pipeline.ron`, or one `--set`.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub text: String,
}

/// Bytes `start..end` of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub source: usize,
    pub start: usize,
    pub end: usize,
}

/// A line and a column, both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Source {
    /// Returns the line and column of the byte at `offset`.
    pub fn place(&self, offset: usize) -> Place {
        let before = &self.text[..self.floor(offset)];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }

    /// Returns the offset of a line and column, the end of the text where it has no such place.
    pub fn offset(&self, place: Place) -> usize {
        let mut start = 0;
        for line in self.text.split_inclusive('\n').take(place.line.saturating_sub(1)) {
            start += line.len();
        }
        let rest = &self.text[start..];
        start + rest.char_indices().nth(place.column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
    }

    /// Returns the line around the byte at `offset`, without its end.
    pub fn line(&self, offset: usize) -> &str {
        let offset = self.floor(offset);
        let start = self.text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[offset..].find('\n').map_or(self.text.len(), |newline| offset + newline);
        self.text[start..end].trim_end_matches('\r')
    }

    /// Returns the nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        (0..=offset).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_offsets_bytes() {
        let source = Source { name: "f".into(), text: "é = 1\nab\n".into() };
        assert_eq!(source.place(3), Place { line: 1, column: 3 });
        assert_eq!(source.place(7), Place { line: 2, column: 1 });
        assert_eq!(source.offset(Place { line: 2, column: 2 }), 8);
        assert_eq!(source.offset(Place { line: 9, column: 9 }), 10);
        assert_eq!(source.line(8), "ab");
    }
}
