//! Fetching the results of nodes from a remote before they are executed, and the files that nodes read.

use std::collections::{BTreeMap, BTreeSet};

use pipe_stages::StageName;
use pipe_store::{PromisedFile, StoreError};

use super::{Engine, Event, State};
use crate::{action::Action, pipeline::stages::is_of_search, study::Outcome};

/// The bytes from which on it is said that files are fetched: the run waits for them.
const MUCH: u64 = 16 << 20;

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

    /// Fetches those inputs of the node at `index` that are only promised, when it starts: whatever executes it may have no way to the
    /// remote. Returns whether all inputs are here. If not, the nodes whose outputs they are will be executed, and this one waits for
    /// them.
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
                self.make_again(source, tell)?;
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
    fn make_again(&mut self, index: usize, tell: &mut dyn FnMut(Event<'_>)) -> Result<(), StoreError> {
        // Otherwise it is under way already.
        if let State::Settled(Outcome::Tree(tree)) = self.states[index] {
            self.states[index] = State::Waiting;
            self.remade.trees.insert(index, tree);
            if let Some(reused) = self.counts.get_mut("reused") {
                *reused = reused.saturating_sub(1);
            }
            if let Some(key) = &self.actions[index] {
                self.store.drop_dead_result(key)?;
            }
            tell(Event::Lost { node: &self.plan.nodes[index].name });
            self.fresh.insert(index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use pipe_store::{ActionKey, ActionResult, Digest, ObjectSource, Store, Tree};
    use serde_json::Value;

    use super::*;
    use crate::{
        pipeline::{
            expand::{Downloads, expand},
            mistake::Rendering,
            read::read,
        },
        plan::Plan,
        run::{self, Executor, Options, Ran, remote_results::RemoteResults, worker::StopFlag},
    };

    /// A remote that gives files of a store, or none.
    struct Lab {
        from: Option<Store>,
        asked: Mutex<BTreeSet<Digest>>,
    }

    impl RemoteResults for Lab {
        fn fetch(&self, _: &Store, _: &[ActionKey]) {}

        fn fetch_files(&self, store: &Store, files: &[PromisedFile]) {
            for file in files {
                assert!(self.asked.lock().unwrap().insert(file.digest), "a file is asked for once");
                if let Some(from) = &self.from {
                    store.put(&from.read(&file.digest).unwrap()).unwrap();
                }
            }
        }

        fn executed(&self, _: &ActionKey, _: &Digest) {}
    }

    fn plan() -> Plan {
        let text = r#"Study(name: "s", stages: [
            ("raw", Fetch(Embedded(name: "shapes100", train: 100, test: 100))),
            ("data", Decode(from: "raw", format: Cifar100, validation: OfficialTest)),
            ("flip", Augment(data: "data", normalise: HalfCentred, policy: [RandomFlip(0.5)])),
        ])"#;
        let pipeline = read("pipeline.ron", text, &[]);
        let pipeline = pipeline.unwrap_or_else(|refused| panic!("{}", refused.render(Rendering::Plain)));
        expand(&pipeline, &Downloads::default())
    }

    /// Runs the plan. Returns what came of it, and the nodes whose files were lost.
    fn run(store: &Store, plan: &Plan, lab: Option<&Arc<Lab>>) -> (Ran, Vec<String>) {
        static STOP: StopFlag = StopFlag::new();
        let options = Options {
            jobs: 2,
            threads: Some(1),
            cores: 1,
            devices: vec![0],
            jobs_per_device: 1,
            rerun: BTreeSet::new(),
            cadence: Duration::from_secs(60),
            program: "no node of this study needs a worker".into(),
            log_level: "error",
            memory: None,
            remote: lab.map(|lab| Arc::clone(lab) as Arc<dyn RemoteResults>),
            executor: Executor::Here,
        };
        let (all, mut lost) = ((0..plan.nodes.len()).collect(), Vec::new());
        let mut tell = |event: Event<'_>| {
            if let Event::Lost { node } = event {
                lost.push(node.to_owned());
            }
        };
        let ran = run::run(store, plan, &all, &options, None, &STOP, &mut tell).unwrap();
        (ran, lost)
    }

    fn new_store(folder: &Path, name: &str) -> Store {
        Store::open(&folder.join(name)).unwrap()
    }

    /// Returns a store in which the study was run, and one that has the results of `raw` and `data` with promises of all files.
    fn stores(folder: &Path, plan: &Plan) -> (Store, Store, Ran) {
        let (from, to) = (new_store(folder, "from"), new_store(folder, "to"));
        let (ran, _) = run(&from, plan, None);
        for node in ["raw", "data"] {
            let (key, tree) = (ran.nodes[node].key().unwrap(), ran.nodes[node].tree().unwrap());
            promise(&to, &from.read(&key.0).unwrap(), &from.tree(&tree).unwrap());
        }
        (from, to, ran)
    }

    fn promise(to: &Store, action: &[u8], tree: &Tree) {
        to.promise(tree.files.values().map(|file| &file.digest), "lab").unwrap();
        let (key, tree) = (ActionKey(to.put(action).unwrap()), to.put(&tree.to_bytes()).unwrap());
        to.commit(&key, &ActionResult::Tree(tree), &Value::Null).unwrap();
    }

    #[test]
    fn a_node_gets_the_files_that_it_reads_and_no_others() {
        let (folder, plan) = (tempfile::tempdir().unwrap(), plan());
        let (from, to, before) = stores(folder.path(), &plan);
        let lab = Arc::new(Lab { from: Some(from), asked: Mutex::default() });
        let (ran, lost) = run(&to, &plan, Some(&lab));
        assert_eq!((ran.executed, ran.reused, lost.len()), (1, 2, 0));
        assert_eq!(ran.nodes, before.nodes);
        let key = ran.nodes["flip"].key().unwrap();
        let action = crate::study::action(&to, &key.0).unwrap();
        assert_eq!(*lab.asked.lock().unwrap(), action.inputs.values().copied().collect());
        let (again, _) = run(&to, &plan, Some(&lab));
        assert_eq!((again.executed, again.reused), (0, 3));
    }

    #[test]
    fn what_cannot_be_had_is_made_again_and_the_study_is_the_same() {
        let (folder, plan) = (tempfile::tempdir().unwrap(), plan());
        for lab in [Some(Arc::new(Lab { from: None, asked: Mutex::default() })), None] {
            let folder = folder.path().join(format!("{}", lab.is_some()));
            let (_, to, before) = stores(&folder, &plan);
            let (ran, lost) = run(&to, &plan, lab.as_ref());
            assert_eq!((ran.executed, ran.reused, ran.failed), (3, 0, 0));
            assert_eq!((ran.nodes, lost), (before.nodes, vec!["data".to_owned(), "raw".to_owned()]));
            assert_eq!(run(&to, &plan, lab.as_ref()).0.reused, 3);
        }
    }

    #[test]
    fn a_node_that_gives_other_outputs_than_a_remote_had_is_a_failure_and_the_next_run_is_right() {
        let (folder, plan) = (tempfile::tempdir().unwrap(), plan());
        let (from, _, before) = stores(folder.path(), &plan);
        let to = new_store(folder.path(), "forged");
        let raw = &before.nodes["raw"];
        let mut tree = from.tree(&raw.tree().unwrap()).unwrap();
        tree.files.values_mut().for_each(|file| file.digest = Digest::of(b"forged"));
        promise(&to, &from.read(&raw.key().unwrap().0).unwrap(), &tree);
        let lab = Arc::new(Lab { from: None, asked: Mutex::default() });
        let (ran, lost) = run(&to, &plan, Some(&lab));
        assert_eq!((ran.failed, ran.skipped, lost), (1, 2, vec!["raw".to_owned()]));
        assert_eq!(ran.nodes["raw"].outcome, Outcome::Crash);
        let (ran, _) = run(&to, &plan, Some(&lab));
        assert_eq!((ran.nodes, ran.failed), (before.nodes, 0));
    }
}
