//! What is wrong with a pipeline, where, and what would be right.

use std::fmt::Write;

use pipe_stages::words::closest;

use super::source::{Source, Span};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What was found, as a lower-case fragment.
    pub message: String,
    /// Where; nowhere for a mistake of the whole file.
    pub span: Option<Span>,
    /// What is allowed there.
    pub expected: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    /// Returns a problem at `span`.
    pub fn at(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span: Some(span), expected: None, help: None }
    }

    /// Returns the problem with what is allowed.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Returns the problem with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the problem with "did you mean" if one of `known` is close to `found`.
    #[must_use]
    pub fn did_you_mean<'a>(self, found: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(found, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// Returns all problems as text, each with its line and a caret under what is wrong.
pub fn render(problems: &[Problem], sources: &[Source]) -> String {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "error: {}", problem.message);
        if let Some(span) = problem.span {
            render_place(&mut text, span, &sources[span.source], problem.expected.as_deref());
        } else if let Some(expected) = &problem.expected {
            let _ = writeln!(text, "  = expected: {expected}");
        }
        if let Some(help) = &problem.help {
            let _ = writeln!(text, "  = help: {help}");
        }
        text.push('\n');
    }
    text
}

fn render_place(text: &mut String, span: Span, source: &Source, expected: Option<&str>) {
    let place = source.place(span.start);
    let line = source.line(span.start);
    let width = place.line.to_string().len();
    let room = line.chars().count().saturating_sub(place.column - 1);
    let carets = source.text.get(span.start..span.end).map_or(1, |found| found.chars().count()).clamp(1, room.max(1));
    // Tabs are kept, so that the caret stands under the same column whatever their width.
    let indent: String = line.chars().take(place.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let expected = expected.map(|expected| format!(" expected {expected}")).unwrap_or_default();
    let _ = writeln!(text, "{:width$}--> {}:{}:{}", "", source.name, place.line, place.column);
    let _ = writeln!(text, "{:width$} |", "");
    let _ = writeln!(text, "{} | {line}", place.line);
    let _ = writeln!(text, "{:width$} | {indent}{}{expected}", "", "^".repeat(carets));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        let source = Source { name: "pipeline.ron".into(), text: "(\n\té: 1, trails: 2)\n".into() };
        let span = Span { source: 0, start: 10, end: 16 };
        let problem = Problem::at(span, "unknown field `trails`").expected("`trials`").help("did you mean `trials`?");
        let expected = "error: unknown field `trails`\n --> pipeline.ron:2:8\n  |\n2 | \té: 1, trails: 2)\n  | \t      ^^^^^^ \
                        expected `trials`\n  = help: did you mean `trials`?\n\n";
        assert_eq!(render(&[problem], &[source]), expected);
    }
}
