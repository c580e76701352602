//! Putting nodes into the queue, in batches of equal resources.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{self, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use pipe_store::{JobNote, StoreError};

use super::{
    super::{
        super::{
            launcher::Resources,
            local::{Ended, with_causes},
        },
        batch::{self, BatchJob, Worker},
        scheduler::{Request, SubmitError},
    },
    At, Batch, Driver, Entry, Look,
};

impl Driver {
    /// Puts into the queue what has been collected for long enough.
    pub(super) fn submit(&mut self) {
        // What earlier runs left is asked for first.
        if !self.unknown.is_empty() || self.refused.is_some_and(|(until, _)| Instant::now() < until) {
            return;
        }
        let due = |entry: &Entry| matches!(entry.at, At::Collected { until } if until <= Instant::now());
        if !self.entries.values().any(due) {
            return;
        }
        let mut groups: BTreeMap<(Resources, BTreeSet<String>, bool), Vec<usize>> = BTreeMap::new();
        let mut attached = Vec::new();
        for (index, entry) in &self.entries {
            let At::Collected { until } = entry.at else { continue };
            match self.left.remove(&entry.key) {
                Some(place) if !entry.job.is_fresh() => attached.push((*index, place)),
                // What is put back for later waits for its time. Others go with those that are due.
                _ if until > Instant::now() + self.pace.collect => {}
                _ => {
                    let group = (entry.resources, entry.exclude.clone(), entry.job.is_on_gpu());
                    groups.entry(group).or_default().push(*index);
                }
            }
        }
        for (index, (batch, task)) in attached {
            if let Some(entry) = self.entries.get_mut(&index) {
                entry.at = At::Queued { batch, index: task, look: Look::Often, gone: None };
            }
        }
        let largest = *self.largest_array.get_or_insert_with(|| self.scheduler.largest_array());
        for ((resources, exclude, _), indices) in groups {
            for indices in indices.chunks(largest) {
                if !self.submit_batch(resources, &exclude, indices) {
                    return;
                }
            }
        }
    }

    /// Puts a batch into the queue. Returns whether it is worth going on with others.
    fn submit_batch(&mut self, resources: Resources, exclude: &BTreeSet<String>, indices: &[usize]) -> bool {
        let name = self.new_name();
        let request = match self.prepare(&name, resources, exclude, indices) {
            Ok(request) => request,
            Err(error) => {
                let damaged = error.is_damage();
                for index in indices {
                    self.end(*index, Ended::Error { message: with_causes(&error), hint: None, damaged });
                }
                return true;
            }
        };
        let since = Instant::now();
        let submitted = self.scheduler.submit(&request);
        let (job, missed) = match submitted {
            Ok(job) => (Some(job), None),
            Err(SubmitError::Unknown(why)) => {
                self.say(format!("it is not known whether a batch is in the queue, so it is looked for: {why}"));
                (None, Some(0))
            }
            Err(SubmitError::Later(why)) => {
                let times = self.refused.map_or(0, |(_, times)| times);
                if times == 0 {
                    self.say(format!("the cluster takes no jobs now, so `pipe` tries again: {why}"));
                }
                self.refused = Some((Instant::now() + self.pace.retry * (1 << times.min(3)), times + 1));
                self.note_problem(self.store.remove_batch(&name, 0));
                return false;
            }
            Err(SubmitError::Refused(why)) => {
                self.note_problem(self.store.remove_batch(&name, 0));
                for index in indices {
                    let hint = "`--partition`, `--account`, `--time` and `--extra` are handed to `sbatch`; `sinfo` lists what there is";
                    let message = format!("Slurm refuses the job: {why}");
                    self.end(*index, Ended::Error { message, hint: Some(hint.to_owned()), damaged: false });
                }
                return true;
            }
        };
        self.refused = None;
        tracing::info!(batch = name, job, jobs = indices.len(), "put into the queue");
        self.batches.insert(name.clone(), Batch { job, jobs: indices.len(), since, missed, of_earlier_run: None });
        for (task, index) in indices.iter().enumerate() {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.at = At::Queued { batch: name.clone(), index: task, look: Look::Often, gone: None };
            }
        }
        true
    }

    /// Writes down a batch, and returns what to ask for.
    fn prepare(
        &self,
        name: &str,
        resources: Resources,
        exclude: &BTreeSet<String>,
        indices: &[usize],
    ) -> Result<Request, StoreError> {
        let entries: Vec<_> = indices.iter().filter_map(|index| self.entries.get(index)).collect();
        for entry in &entries {
            for kind in [JobNote::Progress, JobNote::Failure] {
                self.store.remove_job_note(kind, &entry.key)?;
            }
        }
        let job =
            |entry: &&Entry| BatchJob { key: entry.key, how: entry.job.how_as_json(), fresh: entry.job.is_fresh() };
        let jobs: Vec<_> = entries.iter().map(job).collect();
        let lines = absolute(self.store.write_batch(name, batch::lines(&jobs).as_bytes())?);
        let worker = Worker {
            program: &self.options.program,
            store: &absolute(self.store.root().to_owned()),
            threads: resources.threads,
            checkpoint_every: self.options.cadence.as_secs_f64(),
            log_level: self.options.log_level,
        };
        const INDEX: &str = "INDEX";
        let log = absolute(self.store.job_log_path(name, INDEX)?);
        Ok(Request {
            batch: name.to_owned(),
            jobs: indices.len(),
            resources,
            exclude: exclude.iter().cloned().collect(),
            log: PathBuf::from(batch::log_pattern(&log, INDEX)),
            script: batch::script(name, &lines, &worker),
        })
    }

    /// Returns a name that no other batch has.
    fn new_name(&mut self) -> String {
        self.count += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{:x}-{:x}-{}", since.as_nanos(), std::process::id(), self.count)
    }
}

/// Returns a path that does not depend on the folder that the reader works in.
fn absolute(path: PathBuf) -> PathBuf {
    path::absolute(&path).unwrap_or(path)
}
