//! What a process that uses a store sets up once, before it starts threads.

use rayon::ThreadPoolBuilder;

/// The number of files that a process wants to have open at the same time.
const OPEN_FILES: libc::rlim_t = 4096;

/// Prepares this process for work with a store:
///
/// - A write beyond the largest size of a file that the user allows becomes an error. By default, its signal kills the process.
/// - As many files as a store needs can be open at the same time, if the system allows it.
///
/// Call it first in `main`. Nothing that fails here matters: what needs it fails later, and says so.
pub fn prepare_process() {
    crate::faults::from_environment();
    // SAFETY: ignoring a signal has no handler that could do harm, and the limits are plain data that lives until the calls return.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < OPEN_FILES {
            limit.rlim_cur = limit.rlim_max.min(OPEN_FILES);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Starts the threads that hash and read, one for each core or `threads`. If the system refuses to start them, this thread does their
/// work. Call it at most once, before anything that would start them by itself.
pub fn start_threads(threads: Option<usize>) {
    let pool = || ThreadPoolBuilder::new();
    if pool().num_threads(threads.unwrap_or(0)).build_global().is_err() {
        // This fails only if they are running already.
        let _ = pool().num_threads(1).use_current_thread().build_global();
    }
}
