//! How a program is run. Nothing here affects a key.

use std::path::PathBuf;

use pipe_stages::{choices, params::Domain};
use serde::{Deserialize, Serialize};

/// How a program is run: what it may use, how often it is tried, and what it is kept from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct How {
    /// The variables of the environment that it gets besides the usual ones, by name.
    pub pass_env: Vec<String>,
    /// The number of threads that it uses.
    pub threads: usize,
    /// The memory in bytes that it uses.
    pub memory: u64,
    /// The number of GPUs that it uses.
    pub gpus: u32,
    /// The seconds after which it is stopped. `None` for no limit.
    pub time_limit: Option<f64>,
    /// How often it is started again after it was killed, ran too long or lost its memory.
    pub retries: u32,
    /// What it is kept from.
    pub sandbox: Sandbox,
    /// How equal its outputs are when it runs again.
    pub claim: Claim,
    /// The folder of the pipeline file. Paths below it are explained to the user if the program misses them.
    pub project: Option<PathBuf>,
}

impl Default for How {
    fn default() -> Self {
        Self {
            pass_env: Vec::new(),
            threads: 1,
            memory: 1 << 30,
            gpus: 0,
            time_limit: None,
            retries: 0,
            sandbox: Sandbox::Auto,
            claim: Claim::Exact,
            project: None,
        }
    }
}

choices! {
    /// What a program is kept from.
    #[derive(Copy, Eq)]
    pub enum Sandbox = Auto {
        /// `Landlock` where the kernel has it, otherwise `Folder`.
        Auto,
        /// A fresh working folder. A relative path leads only to what is declared, an absolute one leads anywhere.
        Folder,
        /// The kernel refuses to open what is neither declared nor part of the system or of the interpreter.
        Landlock,
    }
}

choices! {
    /// How equal the outputs of a command are when it runs again.
    #[derive(Copy)]
    pub enum Claim = Exact {
        /// Every byte.
        Exact,
        /// Numbers in JSON, CSV, safetensors, npy and npz files within this relative tolerance, everything else exactly.
        Close(f64 [Domain::Positive]),
        /// Not at all.
        Impure,
    }
}
