//! A fuzzer for everything that reads bytes from outside: files that users write, fetch or edit, and the records of a store.
//!
//! Each target has valid inputs, most of them from a small study that is run first. They are changed at random ([`mutate`]) and
//! read. Whatever the input is, nothing may panic, take more memory than the target states, or take long; what is accepted must
//! be the same when it is written and read again; what is refused must be refused with a message. `corpus/<target>/` has inputs
//! that failed once.
//!
//! `cargo test` runs a fixed number of rounds, always the same. `PIPE_FUZZ_SECONDS=600 cargo test --test fuzz pictures` runs one
//! target for ten minutes, from the seed `PIPE_FUZZ_SEED`. A failing input is saved in a file that the message names.

#![expect(clippy::disallowed_methods, reason = "tests write files of their own")]
#![expect(clippy::print_stdout, reason = "the figures of docs/reliability.md are printed with `--nocapture`")]

mod containers;
mod memory;
mod mutate;
mod sources;
mod targets;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fastrand::Rng;
use pipe_store::Digest;

/// What is fuzzed, and how.
struct Target<'a> {
    name: &'a str,
    /// The rounds of a short run.
    rounds: u64,
    /// Valid inputs.
    seeds: Vec<Vec<u8>>,
    /// Words that mean something in the inputs.
    words: &'a [&'a str],
    /// Makes an input of a changed seed: packs it, or mends its checksums. The input of a corpus is used as it is.
    pack: &'a dyn Fn(&mut Rng, Vec<u8>) -> Vec<u8>,
    /// The most bytes that may be allocated, given the length of the input.
    memory: fn(usize) -> usize,
    /// Reads an input. Returns whether it was accepted.
    read: &'a dyn Fn(&[u8]) -> bool,
}

const MIB: usize = 1 << 20;

/// The most time for one input. It is much more than any takes, because machines may be slow.
const TIME: Duration = Duration::from_secs(30);

impl Target<'_> {
    /// Runs the target.
    fn run(&self) {
        let (mut rounds, mut accepted) = (0_u64, 0_u64);
        for input in corpus(self.name) {
            self.attempt(&input);
        }
        for (at, seed) in self.seeds.iter().enumerate() {
            let input = (self.pack)(&mut Rng::with_seed(0), seed.clone());
            assert!(self.attempt(&input), "{}: seed {at} is refused", self.name);
        }
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let seconds = number("PIPE_FUZZ_SECONDS").map(Duration::from_secs);
        let first = number("PIPE_FUZZ_SEED").unwrap_or(0) << 32;
        let start = Instant::now();
        while seconds.map_or(rounds < self.rounds, |seconds| start.elapsed() < seconds) {
            let mut random = Rng::with_seed(first + rounds);
            let seed = &self.seeds[random.usize(..self.seeds.len())];
            let other = &self.seeds[random.usize(..self.seeds.len())];
            let changed = mutate::mutated(&mut random, seed, other, self.words);
            accepted += u64::from(self.attempt(&(self.pack)(&mut random, changed)));
            rounds += 1;
        }
        println!(
            "{}: {rounds} rounds in {:.1} s, {accepted} accepted, peak {:.1} MiB",
            self.name,
            start.elapsed().as_secs_f64(),
            memory::highest() as f64 / MIB as f64
        );
    }

    /// Reads one input and returns whether it was accepted.
    fn attempt(&self, input: &[u8]) -> bool {
        let trace = env::var_os("PIPE_FUZZ_TRACE").map(|_| self.save(input));
        let start = Instant::now();
        let (result, peak) = memory::peak_of(|| catch_unwind(AssertUnwindSafe(|| (self.read)(input))));
        let most = (self.memory)(input.len());
        let why = match result {
            Err(_) => "it panics".to_owned(),
            Ok(_) if peak > most => format!("it takes {peak} bytes, expected at most {most}"),
            Ok(_) if start.elapsed() > TIME => format!("it takes {:.0?}", start.elapsed()),
            Ok(accepted) => {
                trace.inspect(|path| fs::remove_file(path).unwrap());
                return accepted;
            }
        };
        panic!("{}: {why}; the input is in {}", self.name, self.save(input).display());
    }

    fn save(&self, input: &[u8]) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{}-{}", self.name, Digest::of(input).short()));
        fs::write(&path, input).unwrap();
        path
    }
}

/// Returns the inputs that failed once, or are worth keeping.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Only one target runs at a time, because the memory of all threads is counted.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
