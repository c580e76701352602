//! A stage that is being read from the text of a pipeline.

use pipe_stages::params::Read;

use super::{
    form::Form,
    mistake::Mistake,
    source::Span,
    term::{Term, TermKind},
};

/// A stage that is being read: its text, and the mistakes so far.
pub struct Reading<'r, 'n> {
    /// The path of the stage: its name, `search.trial` for the trial of a search.
    pub(super) path: String,
    /// The whole stage, `Kind(..)`.
    pub(super) term: &'n Term,
    pub(super) form: Form<'n>,
    pub(super) mistakes: &'r mut Vec<Mistake>,
    /// The names of all stages of the pipeline.
    pub(super) names: &'r [String],
    /// The places where a stage names the test split and must not: for each, the place of the key, then that of the value.
    pub(super) test_split: &'r mut Vec<Span>,
}

impl<'r, 'n> Reading<'r, 'n> {
    /// Starts to read the stage at `path`, written as `term`.
    pub(super) fn new(
        path: String,
        term: &'n Term,
        names: &'r [String],
        mistakes: &'r mut Vec<Mistake>,
        test_split: &'r mut Vec<Span>,
    ) -> Self {
        Self { path, term, form: Form::new(term), mistakes, names, test_split }
    }

    /// Starts to read the stage in the field `field` of this one, written as `term`.
    pub(super) fn inner<'i>(&'i mut self, field: &str, term: &'n Term) -> Reading<'i, 'n> {
        let path = format!("{}.{field}", self.path);
        Reading::new(path, term, self.names, self.mistakes, self.test_split)
    }

    /// Takes the field that names a stage to read from. If it is missing or wrong, adds a mistake and returns `None`.
    pub(super) fn reference(&mut self, field: &'static str) -> Option<String> {
        self.form.reference(field, self.mistakes)
    }

    /// Takes the field that may name a stage to read from. If it is wrong, adds a mistake and returns `None`.
    pub(super) fn optional_reference(&mut self, field: &'static str) -> Option<Option<String>> {
        self.form.optional_reference(field, self.mistakes)
    }

    /// Reads the fields that are left.
    pub(super) fn rest<T: Read>(&mut self) -> Option<T> {
        self.form.read(self.mistakes)
    }

    /// Remembers the places that name the test split. Each is reported once, and replaces any other mistake there.
    pub(super) fn refuse_test_split(&mut self) {
        const READS: [&str; 8] = ["data", "from", "of", "on", "split", "train", "validation", "augment"];
        for field in self.term.fields().iter().filter(|field| READS.contains(&field.key.as_str())) {
            let names_it = match &field.value.kind {
                TermKind::Unit(name) => name.eq_ignore_ascii_case("test"),
                TermKind::String(name) => name.ends_with("/test") || name.ends_with("test.safetensors"),
                _ => false,
            };
            if names_it {
                self.test_split.extend([field.key_span, field.value.span]);
            }
        }
    }
}
