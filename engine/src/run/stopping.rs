//! Stops searches before their last trial.
//!
//! A node of the plan decides it, and the nodes of further trials wait for that node. If it stops the search, they are left out: they
//! are not executed, and the study does not have them. Whatever reads the last trial reads the last one that is left.

use pipe_store::StoreError;

use super::{Engine, Event, State, left_out::reason};
use crate::study::Outcome;

impl Engine<'_> {
    /// Leaves out the further trials of a search if the node at `index`, which has just been settled, stops it.
    pub(super) fn stop_search(&mut self, index: usize, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), StoreError> {
        let Some(stopped) = self.plan.stopped_by(index) else { return Ok(()) };
        let Some(tree) = &self.trees[index] else { return Ok(()) };
        let Some(reason) = reason(self.store, tree)? else { return Ok(()) };
        let planned = stopped.search.links.len();
        let nodes = stopped.nodes.clone().filter(|node| self.wanted.contains(node)).count();
        tell(Event::Stopped {
            search: &stopped.search.name,
            trials: stopped.trials as usize,
            planned,
            nodes,
            reason: &reason,
        });
        self.left_out.add(&stopped);
        for node in stopped.nodes.clone() {
            self.states[node] = State::Settled(Outcome::Skipped(self.plan.nodes[index].name.clone()));
            self.fresh.remove(&node);
        }
        for stand_in in stopped.stand_ins.values() {
            if matches!(self.states[*stand_in], State::Settled(_)) {
                self.stand_in(*stand_in);
            }
        }
        self.has_news = true;
        Ok(())
    }

    /// Lets a node that has just been settled stand in for the nodes for which it does.
    pub(super) fn stand_in(&mut self, index: usize) {
        for left_out in self.left_out.stand_ins_of(index).to_vec() {
            self.states[left_out] = self.states[index].clone();
            self.trees[left_out] = self.trees[index].clone();
            for reader in self.readers[left_out].clone() {
                if !self.left_out.has(reader) {
                    self.missing[reader] -= 1;
                    if self.missing[reader] == 0 {
                        self.fresh.insert(reader);
                    }
                }
            }
        }
    }
}
