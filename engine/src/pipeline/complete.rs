//! What can be written next in an override, for completions in a shell.

use super::{
    mistake::Mistake,
    read, set,
    set::Override,
    source::Source,
    syntax,
    term::{Term, TermKind},
    walk,
};

/// A word that means nothing: what is said about it tells what would be right.
const PROBE: &str = "completes_nothing";

/// Returns what `typed`, an override up to the cursor, can be completed to: `search.tri` to `search.trial.` and `search.trials=`, and
/// `search.trial.optimizer=` to `search.trial.optimizer=Adam` and others. `text` is the pipeline file. What does not begin like the
/// word is among them. Returns nothing if the file has a mistake that hides what can be written.
pub fn overrides(text: &str, typed: &str) -> Vec<String> {
    if let Some((path, _)) = typed.split_once('=') {
        let mistakes = mistakes(text, format!("{path}={PROBE}"));
        let words = mistakes.iter().filter_map(|mistake| mistake.expected.as_deref()).flat_map(values);
        return words.map(|word| format!("{path}={word}")).collect();
    }
    let Ok(mut root) = syntax::parse(&[Source { name: String::new(), text: text.to_owned() }], 0) else {
        return Vec::new();
    };
    let Some((path, _)) = typed.rsplit_once('.') else {
        let open = |name: &str| if set::STUDY.contains(&name) { '=' } else { '.' };
        return set::first_steps(&root).into_iter().map(|name| format!("{name}{}", open(&name))).collect();
    };
    let written = written(&mut root, path);
    let mistakes = mistakes(text, format!("{path}.{PROBE}=0"));
    let unknown = mistakes.iter().filter(|mistake| mistake.message.starts_with("unknown field"));
    let known = unknown.filter_map(|mistake| mistake.expected.as_deref()).flat_map(quoted);
    let mut names: Vec<_> = known.map(|name| (name.to_owned(), '=')).collect();
    names.retain(|(name, _)| !written.iter().any(|(known, _)| known == name));
    names.extend(written);
    names.sort();
    names.into_iter().map(|(name, next)| format!("{path}.{name}{next}")).collect()
}

/// Returns the mistakes that an override has.
fn mistakes(text: &str, over: String) -> Vec<Mistake> {
    let refused = read::read("", text, &[Override { origin: "", text: over }]).err();
    let mistakes = refused.into_iter().flat_map(|refused| refused.mistakes);
    mistakes.filter(|mistake| mistake.span.is_some_and(|span| span.source == 1)).collect()
}

/// Returns the fields that are written at `path`. `.` follows one that has fields itself, and `=` follows others.
fn written(root: &mut Term, path: &str) -> Vec<(String, char)> {
    let Ok(steps) = walk::parse(path) else { return Vec::new() };
    let Some(stage) = path.split('.').next().and_then(|first| set::start(root, first)) else { return Vec::new() };
    let (term, is_end) = inner(stage, &steps.steps()[1..]);
    let next = |field: &super::term::Field| match &field.value.content().kind {
        TermKind::Fields { .. } | TermKind::Mixed { .. } => '.',
        _ => '=',
    };
    if is_end {
        term.content().fields().iter().map(|field| (field.key.clone(), next(field))).collect()
    } else {
        Vec::new()
    }
}

/// Returns the value at the end of `steps`, where names of variants may be left out, and whether there is one.
fn inner<'n>(term: &'n Term, steps: &[pipe_stages::problem::Step]) -> (&'n Term, bool) {
    let mut current = term;
    for step in steps {
        let next = walk::locate(current.content(), std::slice::from_ref(step));
        if std::ptr::eq(next, current.content()) {
            return (current, false);
        }
        current = next;
    }
    (current, true)
}

/// Returns the names in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the words that a text about a value names: `Adam` and `AdamW`, but neither `Tpe(..)` nor `hp("label")`.
fn values(text: &str) -> Vec<&str> {
    if text.starts_with("true or false") {
        return vec!["true", "false"];
    }
    let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_-".contains(c));
    quoted(text).filter(is_word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"Study(name: "a", seed: 7, stages: [
        ("raw", Fetch(Embedded(name: "shapes100", train: 200, test: 100))),
        ("data", Decode(from: "raw", format: Cifar100, validation: Stratified(0.2))),
        ("search", Search(trials: 3, sampler: Tpe(startup: 2), maximise: Best("valid.fine_accuracy"),
            space: { "rate": loguniform(-0.5, 0.5) },
            trial: Train(data: "data", model: HyperCnn(base_filters: 4), batch: 16, epochs: 1, learning_rate: hp("rate")))),
    ])"#;

    fn check(typed: &str, expected: &[&str]) {
        let mut found = overrides(TEXT, typed);
        found.retain(|word| word.starts_with(typed));
        assert_eq!(found, expected, "{typed}");
    }

    #[test]
    fn paths_are_stages_and_fields_written_or_not() {
        check("s", &["seed=", "search."]);
        check("search.tri", &["search.trial.", "search.trials="]);
        check("search.la", &["search.lag="]);
        check("search.space.", &["search.space.rate="]);
        check("search.trial.e", &["search.trial.early_stopping=", "search.trial.epochs="]);
        check("search.trial.model.base", &["search.trial.model.base_filters="]);
        check("search.trial.model.fc_units", &["search.trial.model.fc_units=", "search.trial.model.fc_units_1_mult="]);
        check("search.trial.epochs.x", &[]);
        check("nothing.", &[]);
    }

    #[test]
    fn values_are_the_words_that_are_allowed() {
        check("search.trial.nesterov=", &["search.trial.nesterov=true", "search.trial.nesterov=false"]);
        check("search.trial.optimizer=Ad", &["search.trial.optimizer=Adam", "search.trial.optimizer=AdamW"]);
        check("search.trials=", &[]);
        check("device=", &["device=Cpu", "device=Cuda", "device=Wgpu"]);
        check("precision=", &["precision=F32", "precision=Bf16"]);
    }
}
