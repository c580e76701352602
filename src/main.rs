//! The program `pipe`.

mod commands;
mod logging;
mod printer;
mod report_folder;

use std::process::ExitCode;

/// Fewer calls of the system than the C library's, above all where several threads allocate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::main()
}
