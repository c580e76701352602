//! Overrides: values from the command line and the environment that replace those in the file.

use pipe_stages::{problem::Step, words::one_of};

use super::{
    each,
    mistake::Mistake,
    source::{Source, Span},
    syntax,
    term::{Field, Term, TermKind},
    walk,
};

/// The environment variable with overrides, separated by semicolons or line breaks: `PIPE_SET='seed=3; search.trials=20'`.
/// `--set` overrides it.
pub const VARIABLE: &str = "PIPE_SET";

/// One override, `path=value`, and its origin.
#[derive(Debug, Clone)]
pub struct Override {
    /// Where it comes from: `--set` or `PIPE_SET`.
    pub origin: &'static str,
    /// The override itself: `search.trials=20`.
    pub text: String,
}

/// Returns the overrides in `text`, the value of [`VARIABLE`].
pub fn from_variable(text: &str) -> Vec<Override> {
    let parts = text.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| Override { origin: VARIABLE, text: part.to_owned() }).collect()
}

/// Applies each override to the tree of a pipeline. The override's text becomes a source, so that mistakes in its value are
/// shown in it. Returns the mistakes in the overrides themselves.
pub(super) fn apply(root: &mut Term, overrides: &[Override], sources: &mut Vec<Source>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for over in overrides {
        let index = sources.len();
        sources.push(Source { name: over.origin.to_owned(), text: over.text.clone() });
        if let Err(mut found) = apply_one(root, over, sources, index) {
            mistakes.append(&mut found);
        }
    }
    mistakes
}

fn apply_one(root: &mut Term, over: &Override, sources: &mut [Source], index: usize) -> Result<(), Vec<Mistake>> {
    let span = |start, end| Span { source: index, start, end };
    let Some((path, value)) = over.text.split_once('=') else {
        let mistake = Mistake::at(span(0, over.text.len()), "no `=`").expected("`path=value`");
        return Err(vec![mistake.help("for example `--set search.trials=20`")]);
    };
    if value.trim().is_empty() {
        let end = over.text.len();
        return Err(vec![Mistake::at(span(end, end), "no value").expected("a value after `=`")]);
    }
    // The part before the value is blanked out, so that the value keeps its place in the override's text.
    let text = std::mem::replace(&mut sources[index].text, " ".repeat(path.len() + 1) + &over.text[path.len() + 1..]);
    let value = syntax::parse(sources, index).or_else(|mistakes| as_string(&sources[index], index).ok_or(mistakes));
    sources[index].text = text;
    let value = value?;
    let before = path.len() - path.trim_start().len();
    let path = path.trim();
    let at_path = span(before, before + path.len());
    let steps = walk::parse(path)
        .map_err(|what| vec![Mistake::at(at_path, what).expected("a path such as `search.trials`")])?;
    let first = match &steps.steps()[0] {
        Step::Name(first) => first.clone(),
        Step::Index(_) => unreachable!("a path begins with a name"),
    };
    let known = first_steps(root);
    let copy = each::copy_at(root, path);
    let Some(root) = start(root, &first) else {
        if let Some((written, name)) = copy {
            let mistake = Mistake::at(span(before, before + name.len()), format!("`{name}` is written as `{written}`"));
            let set = over.text.trim().replacen(&name, &written, 1);
            return Err(vec![mistake.help(format!("`--set '{set}'` sets it in all stages of that `ForEach`"))]);
        }
        let mistake = Mistake::at(span(before, before + first.len()), format!("there is no `{first}`"));
        let known = known.iter().map(String::as_str);
        return Err(vec![mistake.expected(one_of(known.clone())).did_you_mean(&first, known)]);
    };
    match walk::place(root, &steps.steps()[1..], at_path) {
        Ok(place) => {
            *place = value;
            Ok(())
        }
        Err((_, known)) => Err(vec![Mistake::at(at_path, format!("there is no `{path}`")).expected(known)]),
    }
}

/// Returns a bare word as a string, so that `--set name=other` needs no quotes.
fn as_string(source: &Source, index: usize) -> Option<Term> {
    let text = source.text.trim();
    let bare = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-./:~".contains(c));
    let start = source.text.len() - source.text.trim_start().len();
    bare.then(|| Term {
        span: Span { source: index, start, end: start + text.len() },
        kind: TermKind::String(text.to_owned()),
    })
}

/// The fields of a study that a path can begin with.
pub(super) const STUDY: [&str; 5] = ["name", "seed", "device", "precision", super::common::FIELD];

/// Returns what a path can begin with: the fields of the study and the names of the stages.
pub(super) fn first_steps(root: &Term) -> Vec<String> {
    let stages: Vec<String> = match root.field("stages").map(|field| &field.value.kind) {
        Some(TermKind::List(items)) => items.iter().filter_map(|item| stage_name(item).map(str::to_owned)).collect(),
        Some(TermKind::Fields { fields, .. }) => fields.iter().map(|field| field.key.clone()).collect(),
        _ => Vec::new(),
    };
    STUDY.into_iter().map(str::to_owned).chain(stages).collect()
}

/// Returns the name in `("name", Kind(..))`.
fn stage_name(item: &Term) -> Option<&str> {
    match &item.kind {
        TermKind::Tuple { items, .. } => match items.as_slice() {
            [Term { kind: TermKind::String(name), .. }, _] => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the value that the first step of a path names: a stage, or a field of the study.
pub(super) fn start<'n>(root: &'n mut Term, first: &str) -> Option<&'n mut Term> {
    let span = root.span;
    let TermKind::Fields { fields, .. } = &mut root.kind else { return None };
    if STUDY.contains(&first) {
        if !fields.iter().any(|field| field.key == first) {
            let value = Term { span, kind: TermKind::Null };
            fields.push(Field { key: first.to_owned(), key_span: span, value });
        }
        return fields.iter_mut().find(|field| field.key == first).map(|field| &mut field.value);
    }
    let stages = fields.iter_mut().find(|field| field.key == "stages")?;
    match &mut stages.value.kind {
        TermKind::List(items) => {
            let item = items.iter_mut().find(|item| stage_name(item) == Some(first))?;
            let TermKind::Tuple { items, .. } = &mut item.kind else { return None };
            items.last_mut()
        }
        TermKind::Fields { fields, .. } => {
            fields.iter_mut().find(|field| field.key == first).map(|field| &mut field.value)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(overrides: &[&str]) -> Result<String, Vec<String>> {
        let text = r#"Study(seed: 7, stages: [("flip", Augment(policy: [RandomFlip(0.5)])), ("search", Search(trials: 10, trial: Train(epochs: 6)))])"#;
        let mut sources = vec![Source { name: "pipeline.ron".into(), text: text.into() }];
        let mut root = syntax::parse(&sources, 0).unwrap();
        let overrides: Vec<_> =
            overrides.iter().map(|text| Override { origin: "--set", text: (*text).to_owned() }).collect();
        let mistakes = apply(&mut root, &overrides, &mut sources);
        if mistakes.is_empty() {
            Ok(root.to_json()["Study"].to_string())
        } else {
            Err(mistakes.into_iter().map(|p| p.message).collect())
        }
    }

    #[test]
    fn an_override_replaces_what_is_written() {
        let set = check(&[
            "seed=3",
            "name=other-one",
            "flip.policy[0]=RandomFlip(0.25)",
            "search.trial.epochs = 2",
            "search.lag=1",
        ]);
        let expected = r#"{"name":"other-one","seed":3,"stages":[["flip",{"Augment":{"policy":[{"RandomFlip":0.25}]}}],["search",{"Search":{"lag":1,"trial":{"Train":{"epochs":2}},"trials":10}}]]}"#;
        assert_eq!(set.unwrap(), expected);
    }

    #[test]
    fn names_of_variants_may_be_written_or_left_out() {
        assert_eq!(check(&["search.Search.trial.Train.epochs=2"]), check(&["search.trial.epochs=2"]));
    }

    #[test]
    fn an_override_that_leads_nowhere_is_refused() {
        assert!(check(&["serch.trials=1"]).is_err());
        assert!(check(&["seed"]).is_err());
        assert!(check(&["seed=(1"]).is_err());
        assert!(check(&["flip.policy[3]=1"]).is_err());
        assert!(check(&["search.trail.epochs=1"]).is_err());
    }
}
