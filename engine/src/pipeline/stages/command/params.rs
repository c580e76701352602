//! The fields of a command, as they are written.

use std::collections::BTreeMap;

use pipe_stages::{
    choices,
    command::{CODES, EPOCHS, Reports, Word},
    parameters,
    params::{Bytes, Domain, Hyper, Time},
};

use crate::how::{Claim, How, Sandbox};

parameters! {
    /// The fields of a command, without `final`.
    pub(crate) struct CommandParams {
        /// The command line, a list of words. No shell reads it. Placeholders such as `{out}` are filled in.
        run: Vec<Word>,
        /// The files and folders of the project that it needs, such as its scripts. They lie at the same places in its working folder.
        files: Vec<String> = Vec::new(),
        /// The files of other stages that it reads, by slot: `{"train": "split/train.npz"}`. A path that ends with `/` is a folder.
        inputs: BTreeMap<String, String> = BTreeMap::new(),
        /// What else its outputs depend on.
        environment: Vec<Environment> = Vec::new(),
        /// Variables that are set for it, by name.
        env: BTreeMap<String, Word> = BTreeMap::new(),
        /// Variables of your environment that reach it and are not part of the key, such as tokens.
        pass_env: Vec<String> = Vec::new(),
        /// The files and folders that it writes to `{out}`. A folder ends with `/`.
        outputs: Vec<String> = Vec::new(),
        /// JSON files that it writes to `{out}` and whose numbers are metrics. They are outputs, too.
        metrics: Vec<String> = Vec::new(),
        /// How it reports metrics while it runs.
        reports: Option<Reports>,
        /// The outputs that only a `final` command may read.
        held_out: Vec<String> = Vec::new(),
        /// The number of epochs, for `{epochs}`.
        epochs: Option<Hyper<u32>> [EPOCHS],
        /// The exit codes that are a result: a failed trial. Any other code but 0 is an error, which no later run remembers.
        catch: Vec<u8> [CODES] = Vec::new(),
        /// What `pipe run --check` holds it to.
        claim: Claim = Claim::Exact,
        /// What it uses. Not part of the key.
        resources: Resources = Resources::default(),
        /// The time after which it is stopped, such as `"2h"`. That is no result. Not part of the key.
        time_limit: Option<Time>,
        /// How often it is started again after a crash, a kill or the time limit. Not part of the key.
        retries: u32 [Domain::Whole(0..=100)] = 0,
        /// What it is kept from. Not part of the key.
        sandbox: Sandbox = Sandbox::Auto,
    }
}

parameters! {
    /// What all commands of a study have, unless they say otherwise.
    pub(crate) struct CommonParams {
        /// As in `Command`.
        files: Vec<String> = Vec::new(),
        /// As in `Command`.
        environment: Vec<Environment> = Vec::new(),
        /// As in `Command`. A command's own variables are added.
        env: BTreeMap<String, Word> = BTreeMap::new(),
        /// As in `Command`.
        pass_env: Vec<String> = Vec::new(),
        /// As in `Command`.
        claim: Claim = Claim::Exact,
        /// As in `Command`.
        resources: Resources = Resources::default(),
        /// As in `Command`.
        time_limit: Option<Time>,
        /// As in `Command`.
        retries: u32 [Domain::Whole(0..=100)] = 0,
        /// As in `Command`.
        sandbox: Sandbox = Sandbox::Auto,
    }
}

choices! {
    /// Something that outputs depend on besides files and inputs.
    pub(crate) enum Environment {
        /// The content of a file of the project, such as a lock file.
        File(String),
        /// What a command prints, such as `["python", "--version"]`.
        Says(Vec<String>),
    }
}

parameters! {
    /// What a program uses while it runs.
    pub(crate) struct Resources = defaults {
        /// The number of threads, for `{threads}`.
        threads: u32 [Domain::Whole(1..=1024)] = 1,
        /// The memory, such as `"8GiB"`.
        memory: Bytes = Bytes(1 << 30),
        /// The number of GPUs.
        gpus: u32 [Domain::Whole(0..=64)] = 0,
    }
}

impl CommandParams {
    /// Returns how the program is run.
    pub(super) fn how(&self) -> How {
        How {
            pass_env: self.pass_env.clone(),
            threads: self.resources.threads as usize,
            memory: self.resources.memory.0,
            gpus: self.resources.gpus,
            time_limit: self.time_limit.map(|Time(seconds)| seconds),
            retries: self.retries,
            sandbox: self.sandbox,
            claim: self.claim,
            project: None,
        }
    }
}
