//! The files of other stages that a command reads.

use std::collections::BTreeMap;

use pipe_stages::words::one_of;
use serde::{Deserialize, Serialize};

/// Where the content of a slot comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// A file of a stage, or a folder if the path ends with `/`.
    One(Place),
    /// The same file of each stage of a group, by the part of the stage's name that differs.
    Each(BTreeMap<String, Place>),
}

/// A file or a folder among the outputs of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The name of the stage.
    pub(crate) stage: String,
    /// The path among its outputs. A folder ends with `/`, and all outputs are the empty path.
    pub(crate) path: String,
}

impl Place {
    /// Returns whether it is a folder.
    pub(crate) fn is_folder(&self) -> bool {
        self.path.is_empty() || self.path.ends_with('/')
    }

    /// Returns the name of the file, or `None` if it is a folder.
    pub(crate) fn file_name(&self) -> Option<String> {
        (!self.is_folder()).then(|| self.path.rsplit('/').next().unwrap_or_default().to_owned())
    }
}

impl Source {
    /// Returns the source that `text` means, such as `split/train.npz`, `split/plots/` or `fold/*/metrics.json`. `names` are those of
    /// all stages, some of which hold a `/`.
    ///
    /// # Errors
    /// If there is no such stage, or no file is named: what was found and what is expected.
    pub(crate) fn find(text: &str, names: &[String]) -> Result<Self, (String, String)> {
        let of = |name: &String| text.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let longest = names.iter().filter(|name| of(name).is_some()).max_by_key(|name| name.len());
        if let Some(name) = longest {
            let path = of(name).unwrap_or_default();
            return Ok(Self::One(Place { stage: name.clone(), path: path.to_owned() }));
        }
        if let Some((before, after)) = text.split_once('*') {
            let path = after.trim_start_matches(|c| c != '/').strip_prefix('/').unwrap_or_default();
            let rest = after.strip_suffix(path).unwrap_or(after).trim_end_matches('/');
            let part = |name: &String| {
                let part = name.strip_prefix(before)?.strip_suffix(rest)?;
                (!part.is_empty() && !part.contains('/')).then(|| part.to_owned())
            };
            let each: BTreeMap<_, _> = names
                .iter()
                .filter_map(|name| Some((part(name)?, Place { stage: name.clone(), path: path.to_owned() })))
                .collect();
            if !each.is_empty() {
                return Ok(Self::Each(each));
            }
            return Err((format!("no stage is named `{before}*{rest}`"), known(names)));
        }
        if names.iter().any(|name| name == text) {
            let expected = format!("a file of it, `\"{text}/FILE\"`, or `\"{text}/\"` for all");
            return Err((format!("`{text}` is a stage"), expected));
        }
        let stage = text.split('/').next().unwrap_or_default();
        Err((format!("there is no stage `{stage}`"), known(names)))
    }

    /// Returns the places in it.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        let (one, each) = match self {
            Self::One(place) => (Some(place), None),
            Self::Each(each) => (None, Some(each.values())),
        };
        one.into_iter().chain(each.into_iter().flatten())
    }

    /// Returns the name of the file, or `None` if the slot is a folder.
    pub(super) fn file_name(&self) -> Option<String> {
        match self {
            Self::One(place) => place.file_name(),
            Self::Each(_) => None,
        }
    }
}

fn known(names: &[String]) -> String {
    match names {
        [] => "a stage".to_owned(),
        names => format!("a file of {}", one_of(names.iter().map(String::as_str))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> String {
        let names = ["split", "fold/0", "fold/1", "fold/0-a"].map(str::to_owned);
        match Source::find(text, &names) {
            Ok(source) => {
                let places = source.places().map(|place| format!("{}:{}", place.stage, place.path));
                places.collect::<Vec<_>>().join(" ")
            }
            Err((found, expected)) => format!("{found}, expected {expected}"),
        }
    }

    #[test]
    fn a_source_is_a_stage_and_a_path() {
        assert_eq!(find("split/train.npz"), "split:train.npz");
        assert_eq!(find("split/plots/"), "split:plots/");
        assert_eq!(find("split/"), "split:");
        assert_eq!(find("fold/0/a/b.json"), "fold/0:a/b.json");
        assert_eq!(find("fold/*/a/b.json"), "fold/0:a/b.json fold/0-a:a/b.json fold/1:a/b.json");
        assert_eq!(find("fold/*-a/x"), "fold/0-a:x");
        assert_eq!(
            find("split"),
            "`split` is a stage, expected a file of it, `\"split/FILE\"`, or `\"split/\"` for all"
        );
        let known = "expected a file of `split`, `fold/0`, `fold/1` or `fold/0-a`";
        assert_eq!(find("splat/x"), format!("there is no stage `splat`, {known}"));
        assert_eq!(find("f/*/x"), format!("no stage is named `f/*`, {known}"));
    }
}
