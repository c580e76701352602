//! Fetching the results of nodes from a remote before they are executed.

use pipe_stages::StageName;
use pipe_store::StoreError;

use super::Engine;
use crate::pipeline::stages::is_of_search;

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
}
