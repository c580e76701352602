//! Decides which of the nodes that are ready starts next: there must be room for it.

use std::collections::{BTreeMap, BTreeSet};

use pipe_stages::{
    DeviceKind, StageName,
    stage::{Inputs, StageError},
};
use pipe_store::{Store, StoreError};

use super::{gpus, options::Options};
use crate::{
    action::Action,
    how::How,
    pipeline::stages::is_of_search,
    plan::{Node, Plan},
};

/// What all nodes that run at the same time may use together.
pub(super) struct Limits {
    /// The number of nodes.
    pub(super) jobs: usize,
    /// The threads of each node that does not say how many it uses. `None` for its share of the free cores.
    pub(super) threads: Option<usize>,
    /// The cores.
    pub(super) cores: usize,
    /// The memory in bytes. `None` if it is not known.
    pub(super) memory: Option<u64>,
    /// The GPUs that programs can be given.
    pub(super) gpus: Vec<String>,
    /// The numbers of the GPUs that networks are computed on.
    pub(super) devices: Vec<usize>,
    /// The most networks that are computed on one GPU at a time.
    pub(super) jobs_per_device: usize,
    /// Whether the GPUs were given to this process by Slurm.
    pub(super) by_slurm: bool,
    /// Whether nodes are executed elsewhere. Then only those that [stay](Wish::is_here) share the cores, and none is refused.
    pub(super) elsewhere: bool,
}

impl Limits {
    /// Returns the limits of a run of these nodes. Looks for GPUs only if a node asks for one.
    pub(super) fn of(plan: &Plan, wanted: &BTreeSet<usize>, options: &Options) -> Self {
        let asks = |index: &usize| plan.nodes[*index].how.as_ref().is_some_and(|how| how.gpus > 0);
        Self {
            jobs: options.jobs,
            threads: options.threads,
            cores: options.cores,
            memory: options.memory,
            gpus: if options.executor.is_here() && wanted.iter().any(asks) { gpus::visible() } else { Vec::new() },
            devices: options.devices.clone(),
            jobs_per_device: options.jobs_per_device,
            elsewhere: !options.executor.is_here(),
            by_slurm: gpus::is_in_slurm(),
        }
    }
}

/// The memory of a process that computes on a GPU: the data set, and what burn needs.
const BESIDE_DEVICE: u64 = 1 << 30;
/// The threads of such a process: one takes the steps, and one prepares the next.
const THREADS_BESIDE_DEVICE: usize = 2;

/// What a node asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    /// The memory in bytes.
    pub(super) memory: u64,
    /// The number of threads, if it says how many.
    pub(super) threads: Option<usize>,
    /// The number of GPUs of its program.
    pub(super) gpus: usize,
    /// Whether it computes networks on a GPU. Then it takes a place there, and no core.
    pub(super) is_on_device: bool,
    /// Whether it is executed by this process even if others are executed elsewhere.
    pub(super) is_here: bool,
}

impl Wish {
    /// Returns what a node asks for: what is said about its program, or else what its stage estimates.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(super) fn of(node: &Node, action: &Action, store: &Store) -> Result<Self, StoreError> {
        if let Some(how) = &node.how {
            return Ok(Self {
                memory: how.memory,
                threads: Some(how.threads),
                gpus: how.gpus as usize,
                ..Self::default()
            });
        }
        if action.device.is_some_and(|kind| kind != DeviceKind::Cpu) {
            return Ok(Self { memory: BESIDE_DEVICE, is_on_device: true, ..Self::default() });
        }
        // Machines that compute often have no way to the internet, and what takes no time is not worth a job.
        let stays = |stage| is_of_search(stage) || stage == StageName::Fetch;
        let is_here = StageName::find(node.stage.id().name).is_some_and(stays);
        let memory = match node.stage.memory(&Inputs::new(&action.inputs, store)) {
            Ok(memory) => memory,
            Err(StageError::Input { source, .. }) => return Err(source),
            // A stage that cannot estimate its memory cannot run either, and then reports a better reason.
            Err(_) => 0,
        };
        Ok(Self { memory, is_here, ..Self::default() })
    }
}

/// What a node is given while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    /// The number of threads.
    pub(super) threads: usize,
    /// The GPUs of its program, which no other node is given.
    pub(super) gpus: Vec<String>,
    /// The number of the GPU on which it computes networks.
    pub(super) device: Option<usize>,
    memory: u64,
    /// Whether the node said how many threads it uses.
    says_threads: bool,
    is_here: bool,
}

/// The nodes that run, and what is left.
pub(super) struct Admission {
    limits: Limits,
    running: BTreeMap<usize, Share>,
}

impl Admission {
    /// Returns that nothing runs.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, running: BTreeMap::new() }
    }

    /// Returns why a node can never start, with a hint, if this machine lacks what it asks for.
    pub(super) fn lacks(&self, wish: &Wish) -> Option<(String, Option<String>)> {
        let Limits { memory, gpus, elsewhere, .. } = &self.limits;
        if *elsewhere {
            return None;
        }
        if wish.gpus > gpus.len() {
            let gpu = if wish.gpus == 1 { "GPU" } else { "GPUs" };
            let message = match gpus.as_slice() {
                [] => format!("it needs {} {gpu} and there is none", wish.gpus),
                [only] => format!("it needs {} {gpu} and there is one, `{only}`", wish.gpus),
                all => format!("it needs {} {gpu} and there are {}: {}", wish.gpus, all.len(), all.join(", ")),
            };
            let hint = "GPUs are those in `CUDA_VISIBLE_DEVICES`, or else those that `nvidia-smi -L` lists";
            return Some((message, Some(hint.to_owned())));
        }
        let all = memory.filter(|all| wish.memory > *all)?;
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let (needed, free) = (gib(wish.memory), gib(all));
        if wish.threads.is_some() {
            let hint = "if it needs less, say so in its `resources`";
            return Some((
                format!("it asks for {needed:.1} GiB of memory and {free:.1} GiB are free"),
                Some(hint.to_owned()),
            ));
        }
        let message = format!(
            "it needs about {needed:.1} GiB of memory and {free:.1} GiB are free: use a smaller batch, a smaller network or a larger machine"
        );
        Some((message, None))
    }

    /// Returns the GPUs that a node's program, run so, is to see, of those that it was given. `None` if it is to see those that this
    /// process sees: if it is no program, or if it was given all that Slurm gave.
    pub(super) fn visible(&self, how: Option<&How>, given: Vec<String>) -> Option<Vec<String>> {
        how?;
        // Whoever starts it elsewhere says which GPUs it sees.
        if self.limits.elsewhere {
            return None;
        }
        let is_all = !given.is_empty() && given.len() == self.limits.gpus.len();
        (!(self.limits.by_slurm && is_all)).then_some(given)
    }

    /// Returns the first of the `ready` nodes that there is room for, with what it is given until it is [released](Self::release).
    ///
    /// A node that asks for more threads than there are runs alone. One that [lacks](Self::lacks) memory or GPUs is not to be asked for.
    pub(super) fn admit(&mut self, mut ready: impl ExactSizeIterator<Item = (usize, Wish)>) -> Option<(usize, Share)> {
        if self.limits.elsewhere {
            return self.admit_elsewhere(ready);
        }
        let Limits { jobs, threads, cores, memory, gpus, .. } = &self.limits;
        // What computes on a GPU takes no core.
        let on_cores = || self.running.values().filter(|share| share.device.is_none());
        let left = jobs.saturating_sub(on_cores().count());
        let rivals = ready.len().min(left).max(1);
        let alone = self.running.is_empty();
        let used: u64 = self.running.values().map(|share| share.memory).fold(0, u64::saturating_add);
        let busy: usize = on_cores().map(|share| share.threads).sum();
        let says_threads = self.running.values().any(|share| share.says_threads);
        let free: Vec<_> =
            gpus.iter().filter(|gpu| !self.running.values().any(|share| share.gpus.contains(gpu))).collect();
        let device = self.device();
        let fits = |wish: &Wish| {
            let has_memory = memory.is_none_or(|all| used.saturating_add(wish.memory) <= all);
            if wish.is_on_device {
                return device.is_some() && (alone || has_memory);
            }
            let has_threads = match wish.threads {
                Some(threads) => busy.saturating_add(threads) <= *cores,
                // Others share cores rather than wait, but not those that a program counts on.
                None => !says_threads || busy < *cores,
            };
            left > 0 && (alone || has_memory && has_threads) && wish.gpus <= free.len()
        };
        let (index, wish) = ready.find(|(_, wish)| fits(wish))?;
        let own = || match wish.is_on_device {
            true => threads.unwrap_or(THREADS_BESIDE_DEVICE).min(*cores),
            false => threads.unwrap_or_else(|| (cores.saturating_sub(busy) / rivals).max(1)),
        };
        let share = Share {
            threads: wish.threads.unwrap_or_else(own),
            gpus: free.into_iter().take(wish.gpus).cloned().collect(),
            device: device.filter(|_| wish.is_on_device),
            memory: wish.memory,
            says_threads: wish.threads.is_some(),
            is_here: true,
        };
        self.running.insert(index, share.clone());
        Some((index, share))
    }

    /// Returns the GPU on which the fewest networks are computed, the first one if several are equal. `None` if all have as many as they
    /// may.
    fn device(&self) -> Option<usize> {
        let taken = |device: usize| self.running.values().filter(|share| share.device == Some(device)).count();
        let devices = self.limits.devices.iter().copied().map(|device| (taken(device), device));
        let (taken, device) = devices.min_by_key(|(taken, _)| *taken)?;
        (taken < self.limits.jobs_per_device).then_some(device)
    }

    /// Returns the first of the `ready` nodes to be executed elsewhere, as long as there are fewer than `jobs`, or to be executed here, as
    /// long as there are fewer than cores.
    fn admit_elsewhere(&mut self, mut ready: impl Iterator<Item = (usize, Wish)>) -> Option<(usize, Share)> {
        let here = self.running.values().filter(|share| share.is_here).count();
        let elsewhere = self.running.len() - here;
        let fits = |wish: &Wish| if wish.is_here { here < self.limits.cores } else { elsewhere < self.limits.jobs };
        let (index, wish) = ready.find(|(_, wish)| fits(wish))?;
        let share = Share {
            threads: wish.threads.or(self.limits.threads).unwrap_or(1),
            gpus: Vec::new(),
            device: None,
            memory: wish.memory,
            says_threads: wish.threads.is_some(),
            is_here: wish.is_here,
        };
        self.running.insert(index, share.clone());
        Some((index, share))
    }

    /// Notes that a node has ended.
    pub(super) fn release(&mut self, index: usize) {
        self.running.remove(&index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pipeline::{
            expand::{Downloads, expand},
            read::read,
        },
        run::{self, Event, worker::StopFlag},
    };

    fn admission(jobs: usize, cores: usize, memory: Option<u64>, gpus: &[&str]) -> Admission {
        let gpus = gpus.iter().map(|gpu| (*gpu).to_owned()).collect();
        Admission::new(Limits {
            jobs,
            threads: None,
            cores,
            memory,
            gpus,
            by_slurm: false,
            elsewhere: false,
            devices: vec![0, 2],
            jobs_per_device: 2,
        })
    }

    fn program(threads: usize, memory: u64, gpus: usize) -> Wish {
        Wish { memory, threads: Some(threads), gpus, ..Wish::default() }
    }

    /// Admits as many of the nodes as there is room for. Returns each with its threads and GPUs.
    fn admit_all(admission: &mut Admission, ready: &[(usize, Wish)]) -> Vec<(usize, usize, String)> {
        let mut ready = ready.to_vec();
        let mut admitted = Vec::new();
        while let Some((index, share)) = admission.admit(ready.iter().copied()) {
            ready.retain(|(other, _)| *other != index);
            admitted.push((index, share.threads, share.gpus.join(",")));
        }
        admitted
    }

    fn indices(admitted: &[(usize, usize, String)]) -> Vec<usize> {
        admitted.iter().map(|(index, ..)| *index).collect()
    }

    #[test]
    fn nodes_that_say_nothing_share_the_cores() {
        let wish = Wish::default();
        let mut four = admission(4, 8, None, &[]);
        let admitted = admit_all(&mut four, &[0, 1, 2, 3, 4].map(|index| (index, wish)));
        assert_eq!(admitted, [0, 1, 2, 3].map(|index| (index, 2, String::new())));
        // More nodes than cores share them.
        assert_eq!(admit_all(&mut admission(3, 1, None, &[]), &[(0, wish), (1, wish), (2, wish)]).len(), 3);
    }

    #[test]
    fn programs_are_admitted_by_their_threads() {
        let mut eight = admission(9, 8, None, &[]);
        let ready = [(0, program(5, 0, 0)), (1, program(4, 0, 0)), (2, program(3, 0, 0)), (3, Wish::default())];
        assert_eq!(indices(&admit_all(&mut eight, &ready)), [0, 2]);
        eight.release(0);
        let admitted = admit_all(&mut eight, &[ready[1], ready[3]]);
        assert_eq!(admitted, [(1, 4, String::new()), (3, 1, String::new())]);
    }

    #[test]
    fn a_program_with_more_threads_than_there_are_runs_alone() {
        let mut two = admission(9, 2, None, &[]);
        let ready = [(0, Wish::default()), (1, program(6, 0, 0)), (2, Wish::default())];
        assert_eq!(indices(&admit_all(&mut two, &ready)), [0, 2]);
        two.release(0);
        assert!(admit_all(&mut two, &ready[1..2]).is_empty());
        two.release(2);
        assert_eq!(admit_all(&mut two, &ready), [(0, 1, String::new()), (2, 1, String::new())]);
        two.release(0);
        two.release(2);
        assert_eq!(admit_all(&mut two, &ready[1..]), [(1, 6, String::new())]);
    }

    #[test]
    fn nodes_are_admitted_by_their_memory() {
        let mut ten = admission(9, 99, Some(10), &[]);
        let ready = [(0, program(1, 6, 0)), (1, program(1, 5, 0)), (2, program(1, 4, 0)), (3, program(1, u64::MAX, 0))];
        assert_eq!(indices(&admit_all(&mut ten, &ready)), [0, 2]);
        [0, 2].into_iter().for_each(|index| ten.release(index));
        assert_eq!(indices(&admit_all(&mut ten, &ready[3..])), [3]);
        assert!(admit_all(&mut ten, &ready[..3]).is_empty());
    }

    #[test]
    fn what_is_executed_elsewhere_does_not_share_this_machine() {
        let mut two = admission(2, 1, Some(1), &[]);
        two.limits.elsewhere = true;
        let here = Wish { is_here: true, ..Wish::default() };
        let ready = [
            (0, program(64, 1 << 40, 8)),
            (1, here),
            (2, Wish { memory: 1 << 40, ..here }),
            (3, program(1, 9, 0)),
            (4, Wish::default()),
        ];
        assert!(ready.iter().all(|(_, wish)| two.lacks(wish).is_none()));
        assert_eq!(admit_all(&mut two, &ready), [(0, 64, String::new()), (1, 1, String::new()), (3, 1, String::new())]);
        two.release(1);
        two.release(0);
        two.limits.threads = Some(4);
        assert_eq!(admit_all(&mut two, &[ready[2], ready[4]]), [(2, 4, String::new()), (4, 4, String::new())]);
        assert_eq!(two.visible(Some(&How::default()), Vec::new()), None);
    }

    /// Each GPU has two places, which are filled in turn. They are apart from the cores.
    #[test]
    fn networks_on_gpus_take_places_there_and_no_cores() {
        let mut admission = admission(1, 1, Some(8 << 30), &[]);
        let on_device = Wish { memory: BESIDE_DEVICE, is_on_device: true, ..Wish::default() };
        let mut admit = |index, wish| admission.admit([(index, wish)].into_iter()).map(|(_, share)| share.device);
        assert_eq!([0, 1, 2, 3].map(|index| admit(index, on_device)), [0, 2, 0, 2].map(|device| Some(Some(device))));
        assert_eq!(admit(4, on_device), None);
        assert_eq!([5, 6].map(|index| admit(index, Wish::default())), [Some(None), None]);
        admission.release(1);
        let next = admission.admit([(4, on_device)].into_iter()).unwrap().1;
        assert_eq!((next.device, next.threads), (Some(2), 1));
    }

    #[test]
    fn each_program_has_its_own_gpus() {
        let mut three = admission(9, 99, None, &["0", "2", "MIG-a"]);
        let ready = [
            (0, program(1, 0, 2)),
            (1, program(1, 0, 2)),
            (2, program(1, 0, 1)),
            (3, program(1, 0, 0)),
            (4, program(1, 0, 4)),
        ];
        let admitted = admit_all(&mut three, &ready);
        assert_eq!(admitted, [(0, 1, "0,2".to_owned()), (2, 1, "MIG-a".to_owned()), (3, 1, String::new())]);
        three.release(2);
        assert!(admit_all(&mut three, &ready[1..2]).is_empty());
        three.release(0);
        assert_eq!(admit_all(&mut three, &ready[1..2]), [(1, 1, "0,2".to_owned())]);
        // There will never be four.
        [1, 3].into_iter().for_each(|index| three.release(index));
        assert!(admit_all(&mut three, &ready[4..]).is_empty());
    }

    #[test]
    fn what_the_machine_lacks_is_said() {
        let said =
            |gpus: &[&str], wish: Wish| admission(1, 1, Some(2 << 30), gpus).lacks(&wish).map(|(message, _)| message);
        assert_eq!(said(&["0", "1"], program(9, 2 << 30, 2)), None);
        assert_eq!(said(&[], program(1, 0, 1)).unwrap(), "it needs 1 GPU and there is none");
        assert_eq!(said(&["7"], program(1, 0, 2)).unwrap(), "it needs 2 GPUs and there is one, `7`");
        assert_eq!(said(&["0", "1"], program(1, 0, 3)).unwrap(), "it needs 3 GPUs and there are 2: 0, 1");
        let memory = "it asks for 4.0 GiB of memory and 2.0 GiB are free";
        assert_eq!(said(&[], program(1, 4 << 30, 0)).unwrap(), memory);
        assert!(said(&[], Wish { memory: 4 << 30, ..Wish::default() }).unwrap().contains("about 4.0 GiB"));
        assert_eq!(admission(1, 1, None, &[]).lacks(&program(1, u64::MAX, 0)), None);
    }

    #[test]
    fn a_program_sees_its_own_gpus_and_all_that_slurm_gave_it() {
        let seen = |by_slurm: bool, how: Option<&How>, given: &[&str]| {
            let mut two = admission(1, 1, None, &["0", "1"]);
            two.limits.by_slurm = by_slurm;
            two.visible(how, given.iter().map(|gpu| (*gpu).to_owned()).collect()).map(|gpus| gpus.join(","))
        };
        let program = How::default();
        for by_slurm in [false, true] {
            assert_eq!(seen(by_slurm, None, &[]), None);
            assert_eq!(seen(by_slurm, Some(&program), &[]), Some(String::new()));
            assert_eq!(seen(by_slurm, Some(&program), &["1"]), Some("1".to_owned()));
        }
        assert_eq!(seen(false, Some(&program), &["0", "1"]), Some("0,1".to_owned()));
        assert_eq!(seen(true, Some(&program), &["0", "1"]), None);
    }

    #[test]
    fn a_node_that_asks_for_more_gpus_than_there_are_fails_before_it_starts() {
        static STOP: StopFlag = StopFlag::new();
        let text = "Study(name: \"s\", stages: [(\"a\", Fetch(Embedded(name: \"shapes100\", train: 100, test: 100))), \
                    (\"b\", Fetch(Embedded(name: \"shapes100\", train: 200, test: 100)))])";
        let mut plan = expand(&read("pipeline.ron", text, &[]).unwrap(), &Downloads::default());
        let wants = |gpus, threads| Some(std::sync::Arc::new(How { gpus, threads, memory: 0, ..How::default() }));
        plan.nodes[0].how = wants(100_000, 1);
        plan.nodes[1].how = wants(0, 9);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let options = Options {
            jobs: 2,
            threads: None,
            cores: 2,
            devices: vec![0],
            jobs_per_device: 1,
            rerun: BTreeSet::new(),
            cadence: std::time::Duration::from_secs(60),
            program: "no node of this study needs a worker".into(),
            log_level: "error",
            memory: Some(1 << 30),
            remote: None,
            executor: run::Executor::Here,
        };
        let (mut started, mut said) = (Vec::new(), Vec::new());
        let ran = run::run(&store, &plan, &[0, 1].into(), &options, None, &STOP, &mut |event| match event {
            Event::Started { node, .. } => started.push(node.to_owned()),
            Event::Settled { node, how: run::How::Failed, why, .. } => said.push(format!("{node}: {why}")),
            _ => {}
        });
        assert_eq!((started, ran.unwrap().executed), (vec!["b".to_owned()], 1));
        assert!(said.len() == 1 && said[0].starts_with("a: it needs 100000 GPUs and there "), "{said:?}");
    }
}
