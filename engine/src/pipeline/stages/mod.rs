//! The kinds of stages that a user writes, one file each: how a stage is read, checked, recorded and expanded to nodes.

mod augment;
pub(crate) mod command;
mod decode;
mod evaluate;
mod fetch;
pub(crate) mod init;
pub(crate) mod retrain;
pub mod search;
pub mod train;
mod visualize_filters;

use pipe_stages::StageName;

use super::stage::StageKind;

/// The kinds of stages, in the order in which messages list them. To add a kind, add a line here.
pub static KINDS: &[&StageKind] = &[
    &fetch::KIND,
    &decode::KIND,
    &augment::KIND,
    &train::KIND,
    &search::KIND,
    &retrain::KIND,
    &evaluate::KIND,
    &visualize_filters::KIND,
    &command::KIND,
];

/// Returns the kind called `name`.
pub fn find(name: &str) -> Option<&'static StageKind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

/// Returns the names of all kinds.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    KINDS.iter().map(|kind| kind.name)
}

/// Returns `n` nodes of a stage in words: `1 training`, `10 trainings`.
pub fn counted(stage: StageName, n: usize) -> String {
    format!("{n} {}", noun(stage, n))
}

/// Returns the noun for `n` nodes of a stage: `training` for one, `trainings` for several.
pub fn noun(stage: StageName, n: usize) -> &'static str {
    let [one, many] = nouns(stage).next().expect("a test counts the nouns of each stage");
    if n == 1 { one } else { many }
}

/// Returns whether a stage belongs to the bookkeeping of a search: all that a search executes except its trainings.
pub fn is_of_search(stage: StageName) -> bool {
    search::KIND.nouns.iter().any(|(of, _)| *of == stage)
}

fn nouns(stage: StageName) -> impl Iterator<Item = [&'static str; 2]> {
    KINDS.iter().flat_map(|kind| kind.nouns).filter(move |(of, _)| *of == stage).map(|(_, noun)| *noun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_one_pair_of_nouns() {
        for stage in StageName::ALL {
            assert_eq!(nouns(*stage).count(), 1, "{stage}");
        }
        assert_eq!([1, 10].map(|n| counted(StageName::Train, n)), ["1 training", "10 trainings"]);
        assert_eq!(counted(StageName::Promote, 2), "2 promotions");
    }

    #[test]
    fn kinds_are_found_by_their_names() {
        assert!(KINDS.iter().all(|kind| find(kind.name).is_some_and(|found| std::ptr::eq(found, *kind))));
        let known: Vec<_> = names().collect();
        let read = KINDS.iter().flat_map(|kind| kind.reads).flat_map(|reads| reads.kinds);
        assert!(read.clone().count() > 8 && read.into_iter().all(|kind| known.contains(kind)));
        assert_eq!(
            KINDS.iter().filter(|kind| kind.may_name_test_split).map(|kind| kind.name).collect::<Vec<_>>(),
            ["Evaluate", "Command"]
        );
    }
}
