//! What becomes of jobs that are gone.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    super::{
        super::local::{Ended, Message},
        fate::Fate,
        note,
        scheduler::{End, Phase, Task},
    },
    At, Driver, Entry, TAIL,
};

impl Driver {
    /// Decides about the jobs that have been gone for long enough.
    pub(super) fn judge(&mut self) {
        // A state that Slurm states is believed sooner than a silence.
        let patience = |end: End| match end {
            End::Completed | End::Forgotten => self.pace.grace,
            _ => self.pace.grace / 6,
        };
        let is_over = |entry: &Entry| match &entry.at {
            At::Queued { batch, gone: Some((since, end)), .. } => {
                let says = note::end(&self.store, &entry.key).is_some_and(|note| note.batch == *batch);
                says || since.elapsed() >= patience(*end)
            }
            _ => false,
        };
        let over: Vec<_> = self.entries.iter().filter(|(_, entry)| is_over(entry)).map(|(index, _)| *index).collect();
        let mut asked: BTreeMap<String, Option<BTreeMap<usize, Task>>> = BTreeMap::new();
        for index in over {
            let Some(Entry { at: At::Queued { batch, index: task, .. }, .. }) = self.entries.get(&index) else {
                continue;
            };
            let (batch, task) = (batch.clone(), *task);
            if !asked.contains_key(&batch) {
                let answer = self.second_opinion(&batch);
                asked.insert(batch.clone(), answer);
            }
            // Without an answer, it is not known to be lost.
            let Some(tasks) = &asked[&batch] else { continue };
            self.conclude(index, &batch, task, tasks);
        }
    }

    /// Asks Slurm about a batch by its id. `None` if it does not answer.
    fn second_opinion(&mut self, name: &str) -> Option<BTreeMap<usize, Task>> {
        let Some(job) = self.batches.get(name)?.job else { return Some(BTreeMap::new()) };
        match self.scheduler.look(job) {
            Ok(Some(tasks)) => {
                Some(tasks.into_iter().filter(|task| task.batch == name).map(|task| (task.index, task)).collect())
            }
            Ok(None) => {
                let task = |(index, end)| {
                    let task = Task {
                        batch: name.to_owned(),
                        job,
                        index,
                        phase: Phase::Ended(end),
                        host: String::new(),
                        reason: String::new(),
                    };
                    (index, task)
                };
                Some(self.scheduler.account(job).into_iter().map(task).collect())
            }
            Err(error) => {
                if !std::mem::replace(&mut self.has_said_silence, true) {
                    self.say(format!("Slurm does not answer; the jobs are left alone meanwhile: {error}"));
                }
                None
            }
        }
    }

    /// Decides about a job that is gone, or finds that it is not.
    fn conclude(&mut self, index: usize, batch: &str, task: usize, tasks: &BTreeMap<usize, Task>) {
        let Some(entry) = self.entries.get_mut(&index) else { return };
        let At::Queued { gone: Some((_, seen)), .. } = entry.at else { return };
        let note = note::end(&self.store, &entry.key).filter(|note| note.batch == batch);
        let (end, host) = match tasks.get(&task) {
            // Its last note says that it is about to end.
            Some(task) if !matches!(task.phase, Phase::Ended(_)) && note.is_none() => {
                if let At::Queued { gone, .. } = &mut entry.at {
                    *gone = None;
                }
                return;
            }
            Some(Task { phase: Phase::Ended(end), host, .. }) => (*end, host.clone()),
            _ => (seen, String::new()),
        };
        let host = if host.is_empty() {
            entry.place.as_ref().map_or_else(String::new, |place| place.host.clone())
        } else {
            host
        };
        // Its result may have come at the last moment.
        if !entry.job.is_fresh() && matches!(self.store.result(&entry.key), Ok(Some(_))) {
            return;
        }
        if self.stopped.is_some() {
            return self.end(index, Ended::Interrupted);
        }
        let name = self
            .batches
            .get(batch)
            .and_then(|batch| batch.job)
            .map_or_else(|| batch.to_owned(), |job| format!("{job}_{task}"));
        match entry.attempts.fate(end, note.as_ref(), entry.done, &host, entry.resources) {
            Fate::Interrupted => {
                self.say(format!("job {name} was cancelled"));
                self.end(index, Ended::Interrupted);
            }
            Fate::Later => self.put_back(index, self.pace.retry),
            Fate::Again { resources, exclude, why } => {
                entry.resources = resources;
                entry.exclude.extend(exclude);
                let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
                self.tell(Message::Talk { index, line: format!("job {name}{on} {why}") });
                self.put_back(index, Duration::ZERO);
            }
            Fate::Failed => {
                let log = self.store.job_log(batch, task).ok().flatten().unwrap_or_default();
                let key = entry.key;
                // A job that was killed could not save what it said.
                self.note_problem(self.store.save_log(&key, &log));
                let log = String::from_utf8_lossy(&log);
                let lines: Vec<_> = log.lines().collect();
                let tail: String =
                    lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| format!("\n  | {line}")).collect();
                let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
                let message = format!("job {name}{on} ended without a result: {}{tail}", end.words());
                let hint = match end {
                    End::OutOfMemory => {
                        "use a smaller batch or a smaller network, or give the program more in its `resources`"
                    }
                    End::TimeLimit => {
                        "give jobs more time with `--time`, or let trainings write checkpoints more often with `--checkpoint-every`"
                    }
                    _ => "`--launcher srun` runs the worker in the foreground, and shows what goes wrong",
                };
                self.end(index, Ended::Error { message, hint: Some(hint.to_owned()), damaged: false });
            }
        }
    }

    /// Collects a node again, after some time.
    fn put_back(&mut self, index: usize, after: Duration) {
        let Some(entry) = self.entries.get_mut(&index) else { return };
        let before = std::mem::replace(&mut entry.at, At::Collected { until: Instant::now() + after });
        (entry.place, entry.told) = (None, (0, 0));
        self.tell(Message::Requeued { index });
        if let At::Queued { batch, .. } = before {
            self.forget_if_done(&batch);
        }
    }
}
