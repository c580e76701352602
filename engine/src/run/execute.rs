//! One execution: runs a stage on its inputs, stores its outputs, and commits its result to the action cache.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{SystemTime, UNIX_EPOCH},
};

use pipe_stages::stage::{ComputeDevice, Context, Host, Inputs, Progress, Stage, StageError};
use pipe_stages::{DeviceKind, network, panics};
use pipe_store::{
    ActionKey, ActionLock, ActionResult, Digest, Ending, FailureRecord, LoggedKeys, ObjectSource, Store, StoreError,
    Tree,
};
use serde_json::{Value, json};

use crate::action::Action;

/// Why an execution has no result. The next run executes it again.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// It was asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The stage could not run on this machine, or could not read an input.
    #[error(transparent)]
    Stage(StageError),
    /// The stage panicked with this message, which is a bug.
    #[error("the stage panicked: {0}")]
    Panic(String),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ExecuteError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Interrupted => Self::Interrupted,
            error => Self::Store(error),
        }
    }
}

/// The result of an execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// The digest of its output tree, or why it failed.
    pub result: ActionResult,
    /// Whether another process committed the result before this execution had the lock.
    pub found: bool,
    /// How long the stage ran, in seconds.
    pub seconds: f64,
}

/// Where an execution reads its inputs, and where it commits its result. They are the same store, unless a node is checked.
pub struct Stores<'a> {
    /// Has the inputs.
    pub inputs: &'a dyn ObjectSource,
    /// Gets the result.
    pub results: &'a Store,
    /// The lock of the action, if this process has it already. Otherwise the execution waits for it.
    pub lock: Option<ActionLock>,
    /// The log of the run, if the record of the action is not stored yet. It is stored with the result.
    pub log: Option<LoggedKeys>,
    /// Called when the result is there, is small, and only waits for the disk.
    pub waits: &'a dyn Fn(),
}

/// The most bytes of outputs that count as small.
const SMALL: usize = 1 << 20;

impl<'a> From<&'a Store> for Stores<'a> {
    fn from(store: &'a Store) -> Self {
        Self { inputs: store, results: store, lock: None, log: None, waits: &|| () }
    }
}

/// Runs `stage`, whose action is `action`, and commits its result: first the objects, then the record that names them. The result is
/// durable when this returns. If two processes commit a result, the first one is kept. If `again`, it runs although a result is known,
/// which stands until the new one takes its place.
///
/// # Errors
/// If there is no result: the stage was interrupted, panicked or could not run here, or the store failed.
pub fn execute(
    stores: Stores<'_>,
    stage: &dyn Stage,
    action: &Action,
    device: ComputeDevice,
    host: &dyn Host,
    provenance: Value,
    again: bool,
) -> Result<Executed, ExecuteError> {
    let Stores { inputs, results: store, lock, log, waits } = stores;
    let key: ActionKey = action.key();
    let _lock = lock.map_or_else(|| store.lock_action(&key), Ok)?;
    if !again && let Some(result) = store.result(&key)? {
        return Ok(Executed { result, found: true, seconds: 0.0 });
    }
    tracing::debug!(stage = action.stage, key = %key.0, "executing");
    let started = SystemTime::now();
    let inputs = Inputs::new(&action.inputs, inputs);
    let context = Context { seed: action.seed(), device, host };
    let on_device = device.kind != DeviceKind::Cpu;
    if on_device {
        panics::watch();
    }
    let ran = catch_unwind(AssertUnwindSafe(|| stage.run(&inputs, &context)));
    // Whatever came back after a panic of a device's thread, the device has not computed it.
    if let Some(message) = on_device.then(panics::noted).flatten() {
        return Err(ExecuteError::Stage(network::device_failed(&format!("`{device}`"), &message)));
    }
    let outputs = match ran {
        Ok(Ok(outputs)) => Ok(outputs),
        Ok(Err(StageError::Failed { message, hint })) => Err(FailureRecord { message, hint }),
        Ok(Err(StageError::Interrupted)) => return Err(ExecuteError::Interrupted),
        Ok(Err(StageError::Input { source, .. })) => return Err(source.into()),
        Ok(Err(error)) => return Err(ExecuteError::Stage(error)),
        Err(panic) => return Err(ExecuteError::Panic(panic_message(&*panic))),
    };
    let seconds = started.elapsed().unwrap_or_default().as_secs_f64();
    let mut provenance = provenance;
    let to_milliseconds = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
    let since_1970 = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    provenance["started"] = json!(to_milliseconds(since_1970));
    provenance["seconds"] = json!(to_milliseconds(seconds));
    // No result is made from bytes that the disk had lost.
    store.check_reads()?;
    // From here on a collection waits, so that it does not remove outputs before a result names them.
    let _no_sweep = store.hold_off_sweeps()?;
    let mut objects: Vec<Cow<'_, [u8]>> = Vec::new();
    if log.is_some() {
        objects.push(action.record().into());
    }
    let result = match &outputs {
        Ok(outputs) if outputs.known().is_empty() && outputs.found().is_empty() => {
            let tree = Tree::of(outputs.files())?.to_bytes();
            let name = Digest::of(&tree);
            objects.extend(outputs.files().values().map(|bytes| bytes.as_slice().into()));
            objects.push(tree.into());
            ActionResult::Tree(name)
        }
        Ok(outputs) => {
            log.iter().try_for_each(LoggedKeys::sync)?;
            let known = outputs.known().values().map(|file| file.size);
            let total = known.chain(outputs.found().values().map(|file| file.size)).sum();
            let mut watch = |done| {
                host.progress(&Progress { done, total, unit: "bytes".to_owned(), ..Progress::default() });
                !host.interrupted()
            };
            let stored = store.put_tree_with(outputs.files(), outputs.known(), outputs.found(), &mut watch);
            if let Err(StoreError::Changed { .. }) = stored {
                stage.forget();
            }
            ActionResult::Tree(stored?.0)
        }
        Err(failure) => ActionResult::Failure(failure.clone()),
    };
    if objects.iter().map(|bytes| bytes.len()).sum::<usize>() <= SMALL {
        waits();
    }
    let result = store.conclude(&key, &Ending { objects, result, provenance: &provenance, replaces: again, log })?;
    Ok(Executed { result, found: false, seconds })
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use pipe_stages::stage::{Outputs, QuietHost, StageId};
    use pipe_store::FoundFile;

    use super::*;
    use pipe_stages::DeviceKind;

    /// Returns a file that a program has written.
    struct Wrote<'a>(&'a Path);

    impl Stage for Wrote<'_> {
        fn id(&self) -> StageId {
            StageId { name: "wrote", version: 1 }
        }

        fn run(&self, _: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
            let mut outputs = Outputs::default().with("score.json", "{}");
            outputs.insert_found("run.sh", FoundFile { path: self.0.to_owned(), size: 9, executable: true });
            Ok(outputs)
        }
    }

    #[test]
    fn what_a_program_wrote_is_stored_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let path = folder.path().join("run.sh");
        let stage = Wrote(&path);
        let action = Action::new(&stage, json!({}).into(), BTreeMap::new(), 0, Default::default());
        store.put(&action.record()).unwrap();
        let run = || {
            let stores = Stores::from(&store);
            execute(stores, &stage, &action, ComputeDevice::CPU, &QuietHost, json!({}), false)
        };
        fs::write(&path, "short").unwrap();
        let error = run().unwrap_err().to_string();
        assert!(error.contains("has changed since it was looked at: it has 5 bytes instead of 9"), "{error}");
        fs::write(&path, "#!/bin/sh").unwrap();
        let Executed { result: ActionResult::Tree(tree), .. } = run().unwrap() else { panic!("it has outputs") };
        let files = store.tree(&tree).unwrap().files;
        assert_eq!(&*store.read(&files["run.sh"].digest).unwrap(), b"#!/bin/sh");
        assert_eq!((files["run.sh"].executable, files["score.json"].executable, files.len()), (true, false, 2));
    }

    /// Loses a panic of another thread, as burn does with those of a device's thread.
    struct LosesPanic;

    impl Stage for LosesPanic {
        fn id(&self) -> StageId {
            StageId { name: "loses panic", version: 1 }
        }

        fn run(&self, _: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
            let launch = std::thread::spawn(|| panic!("CUDA installation not found."));
            drop(launch.join());
            Ok(Outputs::default().with("trial.json", "{}"))
        }
    }

    #[test]
    fn what_a_device_seems_to_compute_after_a_panic_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let run = |device: ComputeDevice| {
            let action =
                Action::new(&LosesPanic, json!({}).into(), BTreeMap::new(), 0, (device.kind, device.precision));
            store.put(&action.record()).unwrap();
            let stores = Stores::from(&store);
            (execute(stores, &LosesPanic, &action, device, &QuietHost, json!({}), false), action.key())
        };
        let (failed, key) = run(ComputeDevice::of(DeviceKind::Cuda, 0));
        let Err(ExecuteError::Stage(StageError::Environment { message, hint, .. })) = failed else {
            panic!("{failed:?}")
        };
        assert_eq!(message, "the computation on `cuda:0` failed: CUDA installation not found.");
        assert!(hint.unwrap().contains("set CUDA_PATH"));
        assert_eq!(store.result(&key).unwrap(), None);
        let (on_cpu, _) = run(ComputeDevice::CPU);
        assert!(on_cpu.is_ok());
    }
}
