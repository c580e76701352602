//! The program `pipe`.

mod choice;
mod commands;
mod completion;
mod executor_args;
mod failure;
mod files;
mod lock_file;
mod logging;
mod looking;
mod output;
mod patience;
mod plan_args;
mod printer;
mod publish;
mod remotes;
mod report_folder;
mod signals;
mod size;
mod store_args;
mod talk;
mod time;
mod trials;
mod ui;

use std::process::ExitCode;

/// mimalloc makes fewer system calls than the allocator of the C library, above all when several threads allocate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pipe_store::prepare_process();
    commands::main()
}
