//! Fetching the results of nodes from a remote before they are executed, and the files that nodes read.

use std::collections::{BTreeMap, BTreeSet};

use pipe_stages::StageName;
use pipe_store::{Digest, PromisedFile, StoreError};

use super::{Engine, Event, State};
use crate::{action::Action, pipeline::stages::is_of_search, study::Outcome};

/// The bytes from which on it is said that files are fetched: the run waits for them.
const MUCH: u64 = 16 << 20;

/// The nodes that are executed after all, because files of their results were only promised and are not to be had.
#[derive(Default)]
pub(super) struct Remade {
    /// The output tree that each of them had.
    trees: BTreeMap<usize, Digest>,
    /// The nodes that wait for each of them.
    readers: BTreeMap<usize, Vec<usize>>,
}

impl Remade {
    /// Returns the nodes that wait for this one, if it was settled before.
    pub(super) fn readers(&mut self, index: usize) -> Option<Vec<usize>> {
        self.readers.remove(&index)
    }

    /// Returns the output tree that the node had when it was settled before.
    pub(super) fn tree(&self, index: usize) -> Option<Digest> {
        self.trees.get(&index).copied()
    }
}

impl Engine<'_> {
    /// Fetches the results of the node at `index`, and of those that are settled next, from the remote. What is executed in no time, such
    /// as a proposal, is not worth the question.
    pub(super) fn fetch_results(&mut self, index: usize) -> Result<(), StoreError> {
        let Some(remote) = self.options.remote.clone() else { return Ok(()) };
        let mut wanted = Vec::new();
        for index in self.fresh.iter().copied().chain([index]).collect::<Vec<_>>() {
            let stage = StageName::find(self.plan.nodes[index].stage.id().name);
            let is_quick = stage.is_some_and(is_of_search);
            if !self.asked.insert(index) || is_quick || self.options.rerun.contains(&index) {
                continue;
            }
            let Ok(action) = self.plan.action(index, &self.trees) else { continue };
            let key = action.key();
            if self.store.result(&key)?.is_none() {
                wanted.push((key, action));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        // As for what is executed: logged first, so that gc spares it from then on.
        self.open_log()?;
        let run = self.run.as_ref().expect("the log is open");
        for (key, action) in &wanted {
            run.append(key)?;
            self.store.put(&action.record())?;
        }
        remote.fetch(self.store, &wanted.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
        Ok(())
    }

    /// Fetches those inputs of the node at `index` that are only promised: whatever executes it may have no way to the remote. Returns
    /// whether all inputs are here. If not, the nodes whose outputs they are will be executed, and this one waits for them.
    pub(super) fn fetch_inputs(
        &mut self,
        index: usize,
        action: &Action,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<bool, StoreError> {
        if !self.may_lack_files {
            return Ok(true);
        }
        let mut absent = BTreeSet::new();
        for digest in action.inputs.values() {
            if !self.store.contains(digest)? {
                absent.insert(*digest);
            }
        }
        if absent.is_empty() {
            return Ok(true);
        }
        // As for results: gc spares what they belong to from then on.
        self.open_log()?;
        let sources: BTreeSet<_> = self.plan.nodes[index].inputs.values().map(|edge| edge.node).collect();
        let mut promised = BTreeMap::new();
        for tree in sources.iter().filter_map(|source| self.trees[*source].as_ref()) {
            let files = self.store.promised_files(tree)?.into_iter();
            promised.extend(files.filter(|file| absent.contains(&file.digest)).map(|file| (file.digest, file)));
        }
        self.fetch_files(promised.into_values().collect(), tell);
        let mut lost = BTreeSet::new();
        for digest in absent {
            if !self.store.contains(&digest)? {
                self.store.forget_promise(&digest)?;
                lost.insert(digest);
            }
        }
        if lost.is_empty() {
            return Ok(true);
        }
        self.states[index] = State::Waiting;
        for source in sources {
            let Some(tree) = &self.trees[source] else { continue };
            if tree.files.values().any(|file| lost.contains(&file.digest)) {
                self.make_again(source, tell);
                self.missing[index] += 1;
                self.remade.readers.entry(source).or_default().push(index);
            }
        }
        Ok(false)
    }

    fn fetch_files(&self, files: Vec<PromisedFile>, tell: &mut dyn FnMut(Event<'_>)) {
        if files.is_empty() {
            return;
        }
        let (n, bytes) = (files.len(), files.iter().map(|file| file.size).sum::<u64>());
        let remotes: BTreeSet<_> = files.iter().map(|file| format!("`{}`", file.remote)).collect();
        let remotes = Vec::from_iter(remotes).join(", ");
        match &self.options.remote {
            Some(remote) => {
                if bytes >= MUCH {
                    let text = format!("fetching {n} files ({} MiB) that are needed now from {remotes}", bytes >> 20);
                    tell(Event::Notice { text: &text });
                }
                remote.fetch_files(self.store, &files);
            }
            None => tracing::warn!("{n} files are at {remotes}, which this build cannot ask: they are made again"),
        }
    }

    /// Has the node at `index` executed although it is settled, because its result is not whole any more.
    fn make_again(&mut self, index: usize, tell: &mut dyn FnMut(Event<'_>)) {
        // Otherwise it is under way already.
        if let State::Settled(Outcome::Tree(tree)) = self.states[index] {
            self.states[index] = State::Waiting;
            self.remade.trees.insert(index, tree);
            if let Some(reused) = self.counts.get_mut("reused") {
                *reused = reused.saturating_sub(1);
            }
            tell(Event::Lost { node: &self.plan.nodes[index].name });
            self.fresh.insert(index);
        }
    }
}
