//! What jobs leave in the store: results, notes of ends, progress.

use std::time::Instant;

use pipe_stages::stage::Progress;
use pipe_store::StoreError;

use super::{
    super::{
        super::local::{Ended, Message},
        note::{self, EndNote, JobEnd},
        scheduler::End,
    },
    At, Driver, Entry, FEW, LOOKS, Look, REST,
};

impl Driver {
    /// Looks for results, notes of ends, and progress.
    pub(super) fn look_at_store(&mut self) -> Result<(), StoreError> {
        if self.entries.len() <= FEW && self.rested.elapsed() >= REST {
            self.rested = Instant::now();
            for entry in self.entries.values_mut() {
                if let At::Queued { look: look @ Look::Later, .. } = &mut entry.at {
                    *look = Look::Once;
                }
            }
        }
        let queued = |(index, entry): (&usize, &Entry)| {
            matches!(entry.at, At::Queued { look: Look::Often | Look::Once, .. }).then_some(*index)
        };
        let all: Vec<_> = self.entries.iter().filter_map(queued).collect();
        // In turn, if there are many.
        let at_a_time = (all.len() / 10).clamp(LOOKS.0, LOOKS.1);
        let start = all.partition_point(|index| *index < self.looked_up_to);
        let looks: Vec<_> = all.iter().cycle().skip(start).take(all.len().min(at_a_time)).copied().collect();
        self.looked_up_to = looks.last().map_or(0, |last| last + 1);
        for index in looks {
            self.look_for_result(index)?;
        }
        Ok(())
    }

    fn look_for_result(&mut self, index: usize) -> Result<(), StoreError> {
        let Some(entry) = self.entries.get_mut(&index) else { return Ok(()) };
        if let At::Queued { look: look @ Look::Once, .. } = &mut entry.at {
            *look = Look::Later;
        }
        let (key, is_fresh) = (entry.key, entry.job.is_fresh());
        // A result that was known before counts only when it was replaced.
        if !is_fresh && self.store.result(&key)?.is_some() {
            self.tell_progress(index);
            self.end(index, Ended::Committed { found: false });
            return Ok(());
        }
        let At::Queued { batch, gone, .. } = &entry.at else { return Ok(()) };
        if let Some(EndNote { batch: of, end, .. }) = note::end(&self.store, &key)
            && of == *batch
        {
            match end {
                JobEnd::Replaced => self.end(index, Ended::Committed { found: false }),
                JobEnd::Error { message, hint, damaged } => self.end(index, Ended::Error { message, hint, damaged }),
                JobEnd::Interrupted { .. } if self.stopped.is_some() => self.end(index, Ended::Interrupted),
                // What Slurm says about it decides.
                JobEnd::Interrupted { .. } | JobEnd::Held => {
                    if gone.is_none() {
                        self.gone(index, End::Failed);
                    }
                }
            }
            return Ok(());
        }
        self.tell_progress(index);
        Ok(())
    }

    /// Notes that a job is gone, as Slurm says or as it says itself.
    fn gone(&mut self, index: usize, end: End) {
        if let Some(Entry { at: At::Queued { gone, .. }, .. }) = self.entries.get_mut(&index) {
            let since = gone.map_or_else(Instant::now, |(since, _)| since);
            *gone = Some((since, end));
        }
    }

    /// Tells where a job runs and how far it is, if it has noted something new.
    fn tell_progress(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(&index) else { return };
        let At::Queued { batch, gone, .. } = &mut entry.at else { return };
        let Some(note) = note::progress(&self.store, &entry.key).filter(|note| note.batch == *batch) else { return };
        let (epochs, count) = &mut entry.told;
        if note.count == *count {
            return;
        }
        *count = note.count;
        // Whatever the queue says, it runs.
        *gone = None;
        entry.done = entry.done.max(note.progress.done);
        let is_new_place = entry.place.as_ref() != Some(&note.place);
        entry.place = Some(note.place.clone());
        let curve = note.curve.get(*epochs..).unwrap_or_default().to_vec();
        *epochs = note.curve.len();
        let (key, host, count) = (entry.key, note.place.host.clone(), note.count);
        if is_new_place {
            self.tell(Message::Placed { index, place: note.place });
        }
        // Each epoch is told once, the last one with the progress.
        let (last, others) = curve.split_last().map_or((None, &[][..]), |(last, others)| (Some(last.clone()), others));
        for ended in others.iter().cloned() {
            let progress = Progress { ended: Some(ended), ..note.progress.clone() };
            self.tell(Message::Progress { index, progress });
        }
        self.tell(Message::Progress { index, progress: Progress { ended: last, ..note.progress } });
        self.check_lock(key, host, count);
    }
}
