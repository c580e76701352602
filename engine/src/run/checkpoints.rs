//! Removing checkpoints that nothing in the plan can use any more.

use std::collections::BTreeSet;

use pipe_stages::records::{self, Record, Score};
use pipe_store::{ObjectSource, StoreError};

use super::{Engine, State, spent::Fate, with_causes};
use crate::study::Outcome;

impl Engine<'_> {
    /// Removes the checkpoints that nothing in the plan can use any more. That costs at most time, so an error is only a warning. A run
    /// that has executed nothing removes nothing.
    pub(super) fn drop_spent_checkpoints(&mut self) {
        if self.run.is_none() || !std::mem::replace(&mut self.has_news, false) {
            return;
        }
        if let Err(error) = self.try_drop_spent_checkpoints() {
            tracing::warn!("checkpoints that nothing needs were not removed: {}", with_causes(&error));
        }
    }

    fn try_drop_spent_checkpoints(&mut self) -> Result<(), StoreError> {
        let existing: BTreeSet<_> = self.store.trajectories()?.into_iter().collect();
        if existing.is_empty() {
            return Ok(());
        }
        for index in self.trainings.nodes.clone() {
            self.look_at_training(index)?;
        }
        let fate = |index: usize| match &self.states[index] {
            State::Settled(Outcome::Tree(_)) => Fate::Done(self.losses.get(&index).copied().unwrap_or(f64::INFINITY)),
            State::Settled(Outcome::Failure(_)) => Fate::Failed,
            // What crashed or was interrupted continues in the next run.
            _ => Fate::Open,
        };
        let trajectory = |index: usize| self.trajectories.get(&index).copied().flatten();
        let spent = self.trainings.spent(fate, trajectory);
        for &index in &self.trainings.nodes {
            let Some(of) = trajectory(index).filter(|of| spent.contains(of) && existing.contains(of)) else { continue };
            let Some(key) = &self.actions[index] else { continue };
            // If another process executes the action, it uses the checkpoints.
            if let Some(_lock) = self.store.try_lock_action(key)? {
                let dropped = self.store.drop_checkpoints(&of)?;
                tracing::debug!(node = self.plan.nodes[index].name, dropped, "checkpoints that nothing needs");
            }
        }
        Ok(())
    }

    /// Finds out the trajectory of a training, once its inputs are known, and its loss, once it has one.
    fn look_at_training(&mut self, index: usize) -> Result<(), StoreError> {
        if self.actions[index].is_some() && !self.trajectories.contains_key(&index) {
            let trajectory = self.plan.action(index, &self.trees).ok();
            let trajectory = trajectory.and_then(|action| action.trajectory(&*self.plan.nodes[index].stage));
            self.trajectories.insert(index, trajectory);
        }
        let score = self.trees[index].as_ref().and_then(|tree| tree.files.get(Score::FILE));
        if let Some(file) = score.filter(|_| !self.losses.contains_key(&index)) {
            let score: Option<Score> = records::read(&self.store.read(&file.digest)?).ok();
            let loss = score.map_or(f64::INFINITY, |score| score.status.loss_or_worst(score.loss.0));
            self.losses.insert(index, loss);
        }
        Ok(())
    }
}
