//! Taking jobs out of the queue when the run is to stop.

use std::time::Instant;

use super::{
    super::{super::local::Ended, scheduler::Cancel},
    At, Driver, Entry, Stopped,
};

impl Driver {
    /// If the run is to stop, takes what waits out of the queue and asks the others to write checkpoints. Ends them in the end.
    pub(super) fn stop_if_asked(&mut self) {
        let asked = |entry: &Entry| entry.job.is_asked_to_stop();
        match &mut self.stopped {
            None if self.entries.values().any(asked) => {
                self.stopped = Some(Stopped { since: Instant::now(), is_killed: false });
                self.poll.last = None;
                self.unknown.clear();
                let collected =
                    |(index, entry): (&usize, &Entry)| matches!(entry.at, At::Collected { .. }).then_some(*index);
                let collected: Vec<_> = self.entries.iter().filter_map(collected).collect();
                collected.into_iter().for_each(|index| self.end(index, Ended::Interrupted));
                self.cancel(&[Cancel::Waiting, Cancel::Stop]);
            }
            Some(stopped) if !stopped.is_killed && stopped.since.elapsed() >= self.pace.stop => {
                stopped.is_killed = true;
                self.cancel(&[Cancel::Kill]);
                let open: Vec<_> = self.entries.keys().copied().collect();
                open.into_iter().for_each(|index| self.end(index, Ended::Interrupted));
            }
            _ => {}
        }
    }

    fn cancel(&self, how: &[Cancel]) {
        let jobs: Vec<_> = self.batches.values().filter_map(|batch| batch.job).collect();
        if jobs.is_empty() {
            return;
        }
        for how in how {
            if let Err(error) = self.scheduler.cancel(&jobs, *how) {
                let jobs: Vec<_> = jobs.iter().map(u64::to_string).collect();
                self.say(format!("jobs may still be in the queue; `scancel {}` ends them: {error}", jobs.join(" ")));
            }
        }
    }
}
