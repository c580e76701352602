//! A mistake in a pipeline: what it is, where it is, and what would be right.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use pipe_stages::words::{closest, printable};

use super::source::{Source, Span};

/// One mistake in a pipeline. It has a place in a text, unlike a [`pipe_stages::problem::Problem`], which has a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What was found, as a fragment in lower case.
    pub message: String,
    /// The place. `None` for a mistake of the whole file.
    pub span: Option<Span>,
    /// What is allowed there: `a whole number of 1 to 100000`.
    pub expected: Option<String>,
    /// What the user can do.
    pub help: Option<String>,
}

impl Mistake {
    /// Returns a mistake at `span`.
    pub fn at(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), span: Some(span), expected: None, help: None }
    }

    /// Returns the mistake that `field` is missing in the value whose name is at `span`.
    pub(super) fn missing_field(span: Span, field: &str, expected: impl Into<String>) -> Self {
        Self::at(span, format!("missing field `{field}`")).expected(expected)
    }

    /// Returns the mistake that the field or key at `span` is the second one called `key`.
    pub(super) fn named_twice(span: Span, key: &str) -> Self {
        Self::at(span, format!("`{key}` is named twice")).help("remove one of the two, or rename it")
    }

    /// Sets what is allowed there.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Sets what the user can do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the help to "did you mean .." if one of `known` is close to `found`.
    #[must_use]
    pub fn did_you_mean<'a>(self, found: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(found, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// How mistakes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// Plain text: ASCII, except for what is quoted.
    Plain,
    /// With the colours of a terminal.
    Coloured,
}

/// The most mistakes that are shown. Whoever has made more has made one that explains the others.
const SHOWN: usize = 100;

/// Returns the mistakes, up to 100, as text, each with its line and carets under what is wrong.
pub fn render(mistakes: &[Mistake], sources: &[Source], look: Rendering) -> String {
    let renderer = match look {
        Rendering::Plain => Renderer::plain(),
        Rendering::Coloured => Renderer::styled(),
    };
    // Whole lines, however long: what is around a mistake may explain it.
    let renderer = renderer.term_width(1 << 20);
    let rendered = mistakes.iter().take(SHOWN).map(|mistake| renderer.render(&[mistake.report(sources)]) + "\n\n");
    let more = mistakes.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| {
        renderer.render(&[Group::with_title(Level::ERROR.primary_title(format!("and {more} more")))]) + "\n\n"
    });
    rendered.chain(more).collect()
}

impl Mistake {
    fn report<'s>(&'s self, sources: &'s [Source]) -> Group<'s> {
        let mut report = Group::with_title(Level::ERROR.primary_title(printable(&self.message)));
        if let Some(span) = self.span {
            let source = &sources[span.source];
            let label = self.expected.as_ref().map(|expected| printable(&format!("expected {expected}")).into_owned());
            let annotation = AnnotationKind::Primary.span(source.within_line(span)).label(label);
            // The renderer replaces control characters in the source itself, so that the columns stay right.
            report =
                report.element(Snippet::source(&*source.text).path(printable(&source.name)).annotation(annotation));
        } else if let Some(expected) = &self.expected {
            report = report.element(Level::NOTE.with_name("expected").message(printable(expected)));
        }
        match &self.help {
            Some(help) => report.element(Level::HELP.message(printable(help))),
            None => report,
        }
    }
}

/// Everything that is wrong with a pipeline.
#[derive(Debug)]
pub struct Refused {
    /// The mistakes, in the order of the text.
    pub mistakes: Vec<Mistake>,
    /// The texts that the places refer to: the file, then each override.
    pub sources: Vec<Source>,
}

impl Refused {
    /// Returns the mistakes as text for a person.
    pub fn render(&self, look: Rendering) -> String {
        render(&self.mistakes, &self.sources, look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        let source = Source { name: "pipeline.ron".into(), text: "(\n\té: 1, trails: 2)\n".into() };
        let span = Span { source: 0, start: 10, end: 16 };
        let mistake = Mistake::at(span, "unknown field `trails`").expected("`trials`").help("did you mean `trials`?");
        // A tab is one column, and drawn as four spaces.
        let expected = "error: unknown field `trails`\n --> pipeline.ron:2:8\n  |\n2 |     é: 1, trails: 2)\n  |           ^^^^^^ \
                        expected `trials`\n  |\n  = help: did you mean `trials`?\n\n";
        assert_eq!(render(&[mistake], &[source], Rendering::Plain), expected);
    }

    #[test]
    fn a_terminal_acts_on_nothing_in_a_mistake() {
        let escape = "\u{1b}[2J";
        let source = Source { name: format!("{escape}.ron"), text: format!("(a: {escape})\n") };
        let span = Span { source: 0, start: 4, end: 8 };
        let mistake = Mistake::at(span, format!("unknown `{escape}`")).expected(escape).help(escape);
        let whole = Mistake { span: None, ..mistake.clone() };
        let rendered = render(&[mistake, whole], &[source], Rendering::Plain);
        assert!(!rendered.contains('\u{1b}') && rendered.contains(r"unknown `\u{1b}[2J`"), "{rendered}");
    }
}
