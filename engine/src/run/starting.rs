//! Starting nodes: which of those that are ready is next, and the job that it becomes.

use std::{collections::BTreeSet, time::Instant};

use pipe_store::StoreError;

use super::{
    Engine, Event, Running, State,
    admission::{Share, Wish},
    launcher::Resources,
    local::Job,
    room,
    why::Why,
};
use crate::action::Action;

impl Engine<'_> {
    /// Returns the next node to start, if one is ready, there is room for it, and its inputs are here.
    pub(super) fn admit(&mut self, tell: &mut dyn FnMut(Event<'_>)) -> Result<Option<Job>, StoreError> {
        while let Some((index, share)) = self.next_ready() {
            self.ready.remove(&index);
            let State::Ready { action, why, wish } = std::mem::replace(&mut self.states[index], State::Running) else {
                unreachable!("only ready nodes are in `ready`")
            };
            if self.fetch_inputs(index, &action, tell)? {
                return self.job(index, share, *action, why, wish, tell).map(Some);
            }
            self.admission.release(index);
        }
        Ok(None)
    }

    /// Returns the next node for which there is room, and what it is given.
    fn next_ready(&mut self) -> Option<(usize, Share)> {
        // The files of this disk are stored first, so that nothing that changes them while other nodes run changes a result.
        let is_of_disk = |index: &usize| self.plan.nodes[*index].stage.listing().is_some();
        let disk_first = self.ready.iter().chain(self.running.keys()).any(is_of_disk);
        let wish = |index: &usize| match &self.states[*index] {
            State::Ready { wish, .. } => (*index, *wish),
            _ => unreachable!("only ready nodes are in `ready`"),
        };
        // Two nodes may have the same action. The second finds the result of the first when that has ended.
        let running: BTreeSet<_> = self.running.keys().map(|index| self.actions[*index]).collect();
        let ready = self.ready.iter().filter(|index| !running.contains(&self.actions[**index]));
        let ready: Vec<_> = ready.filter(|index| !disk_first || is_of_disk(index)).map(wish).collect();
        self.admission.admit(ready.into_iter())
    }

    /// Returns the job of a node that was admitted.
    fn job(
        &mut self,
        index: usize,
        share: Share,
        action: Action,
        why: Why,
        wish: Wish,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Job, StoreError> {
        if self.trainings.nodes.binary_search(&index).is_ok() && !std::mem::replace(&mut self.has_said_room, true) {
            let open = |index: &usize| !matches!(self.states[*index], State::Settled(_));
            let open: BTreeSet<_> = self.wanted.iter().copied().filter(open).collect();
            let needed = room::room(self.store, self.plan, &open, &self.trees, self.options.jobs)?;
            tell(Event::Room { needed: &needed });
        }
        let key = action.key();
        self.open_log()?;
        let node = &self.plan.nodes[index];
        let is_here = wish.is_here || self.options.executor.is_here();
        if is_here {
            tell(Event::Started { node: &node.name, why: &why });
        } else {
            tell(Event::Queued { node: &node.name, why: &why });
        }
        tracing::info!(node = node.name, key = %key.0, share.threads, wish.memory, gpus = share.gpus.join(","), "start");
        let fresh = self.options.rerun.contains(&index);
        let (job, stop) = Job::new(index, node.stage.clone(), action, node.how.clone(), share.threads, fresh);
        let job = job.with_gpus(self.admission.visible(node.how.as_deref(), share.gpus));
        let job = job.with_device(share.device);
        let gpus = wish.gpus.max(usize::from(wish.is_on_device));
        let job =
            if is_here { job } else { job.elsewhere(Resources::new(share.threads, wish.memory, gpus), &node.name) };
        let run = self.run.as_ref().expect("the log is open");
        let job = if job.is_light() {
            job.with_log(run.so_far())
        } else {
            // Its worker reads its action from the store.
            run.sync()?;
            self.store.put(&job.action().record())?;
            job
        };
        self.running.insert(index, Running { stop, why, since: Instant::now(), is_told: is_here });
        if is_here {
            self.live.started(index, &node.name);
        }
        Ok(job)
    }
}
