//! The queue of the cluster: a look into it from time to time, and what it says.

use std::{
    collections::BTreeMap,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        super::local::Message,
        scheduler::{End, Phase, Task},
    },
    At, Batch, Driver, Look,
};

impl Driver {
    /// Asks for the queue from time to time, and takes the answer.
    pub(super) fn look_into_queue(&mut self) {
        if let Some(receiver) = &self.poll.answer {
            match receiver.try_recv() {
                Ok(answer) => {
                    self.poll.answer = None;
                    self.take(answer);
                }
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => self.poll.answer = None,
            }
            return;
        }
        let every = if self.stopped.is_some() { self.pace.poll.min(Duration::from_secs(2)) } else { self.pace.poll };
        let is_due = self.poll.last.is_none_or(|last| last.elapsed() >= every);
        let asks = !self.batches.is_empty() || !self.unknown.is_empty();
        if is_due && asks && !self.entries.is_empty() {
            let (sender, receiver) = mpsc::channel();
            let scheduler = self.scheduler.clone();
            let asked = thread::Builder::new().spawn(move || drop(sender.send(scheduler.queue())));
            self.poll.last = Some(Instant::now());
            self.poll.answer = asked.ok().map(|_| receiver);
        }
    }

    fn take(&mut self, answer: Result<Vec<Task>, String>) {
        let tasks = match answer {
            Ok(tasks) => tasks,
            Err(error) => {
                // Nothing is known, so nothing is lost, and nothing is known to wait.
                for entry in self.entries.values_mut() {
                    if let At::Queued { look, .. } = &mut entry.at {
                        *look = Look::Often;
                    }
                }
                if !std::mem::replace(&mut self.has_said_silence, true) {
                    self.say(format!("`squeue` does not answer; the jobs are left alone meanwhile: {error}"));
                }
                return;
            }
        };
        self.has_said_silence = false;
        self.attach(&tasks);
        let began = self.poll.last.unwrap_or_else(Instant::now);
        let found: BTreeMap<_, _> = tasks.iter().map(|task| ((task.batch.as_str(), task.index), task)).collect();
        for task in &tasks {
            if let Some(batch) = self.batches.get_mut(&task.batch) {
                batch.job = Some(task.job);
                batch.missed = None;
            }
        }
        let mut lost = Vec::new();
        for (name, batch) in self.batches.iter_mut().filter(|(_, batch)| batch.since < began) {
            if let Some(missed) = batch.missed.as_mut().filter(|_| batch.job.is_none()) {
                *missed += 1;
                if *missed >= 2 {
                    lost.push(name.clone());
                }
            }
        }
        let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in self.entries.values_mut() {
            let At::Queued { batch, index, look, gone } = &mut entry.at else { continue };
            let is_sure = self.batches.get(batch).is_some_and(|batch| batch.since < began && batch.missed.is_none());
            let phase = match found.get(&(batch.as_str(), *index)) {
                Some(task) => {
                    if task.phase == Phase::Waiting {
                        *waiting.entry(&task.reason).or_default() += 1;
                    }
                    task.phase
                }
                None if is_sure => Phase::Ended(End::Forgotten),
                None => continue,
            };
            *look = if phase == Phase::Waiting { Look::Once } else { Look::Often };
            match phase {
                Phase::Waiting | Phase::Running => *gone = None,
                Phase::Ended(end) => {
                    let since = gone.map_or_else(Instant::now, |(since, _)| since);
                    *gone = Some((since, end));
                }
            }
        }
        self.tell(Message::Waiting { reasons: reasons(&waiting) });
        // `sbatch` did not answer, and the batch is not in the queue.
        for name in lost {
            self.collect_again(&name);
        }
    }

    /// Takes over the jobs of earlier runs that are still in the queue.
    fn attach(&mut self, tasks: &[Task]) {
        if self.unknown.is_empty() {
            return;
        }
        for task in tasks.iter().filter(|task| !matches!(task.phase, Phase::Ended(_))) {
            let Some(keys) = self.unknown.get(&task.batch) else { continue };
            let Some(Some(key)) = keys.get(task.index) else { continue };
            self.left.insert(*key, (task.batch.clone(), task.index));
            let batch = Batch {
                job: Some(task.job),
                jobs: keys.len(),
                since: Instant::now(),
                missed: None,
                of_earlier_run: Some(keys.clone()),
            };
            self.batches.entry(task.batch.clone()).or_insert(batch);
        }
        for (name, keys) in std::mem::take(&mut self.unknown) {
            if !self.batches.contains_key(&name) && self.have_results(&keys) {
                self.note_problem(self.store.remove_batch(&name, keys.len()));
            }
        }
    }

    /// Collects the nodes of a batch again that never came into the queue.
    fn collect_again(&mut self, name: &str) {
        for entry in self.entries.values_mut() {
            if matches!(&entry.at, At::Queued { batch, .. } if batch == name) {
                entry.at = At::Collected { until: Instant::now() };
            }
        }
        self.forget_if_done(name);
    }
}

/// Returns why jobs wait, the most frequent reason first.
fn reasons(waiting: &BTreeMap<&str, usize>) -> Vec<(String, usize)> {
    let mut reasons: Vec<_> = waiting.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    reasons
}
