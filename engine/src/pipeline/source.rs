//! Texts that a pipeline is read from, and places in them.

use std::ops::Range;

/// A named text: `pipeline.ron`, or one `--set`.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file's name, or the override's origin.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A place in a source: the bytes `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The index of the source.
    pub source: usize,
    /// The offset of the first byte.
    pub start: usize,
    /// The offset after the last byte.
    pub end: usize,
}

impl Source {
    /// Returns the byte offset of a line and a column, both counted from 1, the column in characters. Returns the end of
    /// the text if there is no such line or column.
    pub(super) fn offset(&self, line: usize, column: usize) -> usize {
        let mut start = 0;
        for before in self.text.split_inclusive('\n').take(line.saturating_sub(1)) {
            start += before.len();
        }
        let rest = &self.text[start..];
        start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
    }

    /// Returns the part of `span` that is in its first line, at least one character if the line has any.
    pub(super) fn within_line(&self, span: Span) -> Range<usize> {
        let start = self.floor(span.start);
        let line = self.text[start..].lines().next().map_or(0, str::len);
        let first = self.text[start..].chars().next().filter(|_| line > 0).map_or(0, char::len_utf8);
        start..self.floor(span.end).clamp(start + first, start + line)
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
    fn columns_count_characters_and_offsets_bytes() {
        let source = Source { name: "f".into(), text: "é = 1\nab\n".into() };
        assert_eq!([source.offset(1, 3), source.offset(2, 1), source.offset(2, 2), source.offset(9, 9)], [3, 7, 8, 10]);
        let within = |start, end| source.within_line(Span { source: 0, start, end });
        assert_eq!(
            [within(0, 9), within(0, 0), within(7, 8), within(10, 10), within(3, 99)],
            [0..6, 0..2, 7..8, 10..10, 3..6]
        );
    }
}
