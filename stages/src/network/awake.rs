//! Threads that stay awake while their help is needed.

use std::sync::atomic::{AtomicBool, Ordering};

/// How often a thread looks for work in vain before it lets other threads of the machine go first. About 0.1 ms.
const LOOKS: u32 = 1000;

/// How often it looks before it may sleep. Some milliseconds: longer than a step computes on one thread.
const MOST_LOOKS: u32 = 10_000;

/// Runs `work` on a thread of rayon's pool, while the other threads look for parts of it without sleeping in between.
///
/// A step of a small network is a row of operations that take less time than a thread takes to wake.
#[expect(clippy::disallowed_methods, reason = "only who waits for work depends on it, not how work is divided")]
pub(crate) fn awake<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if rayon::current_num_threads() == 1 {
        return rayon::scope(|_| work());
    }
    let is_done = AtomicBool::new(false);
    rayon::scope(|scope| {
        let leader = rayon::current_thread_index();
        let is_done = &is_done;
        // While the leader waits for a part, it may get to its own turn. It does not stay in it, or nobody would end the work.
        scope.spawn_broadcast(move |_, turn| {
            if Some(turn.index()) != leader {
                look_for_work(is_done);
            }
        });
        let done = work();
        is_done.store(true, Ordering::Release);
        done
    })
}

fn look_for_work(is_done: &AtomicBool) {
    let mut in_vain = 0;
    while in_vain < MOST_LOOKS && !is_done.load(Ordering::Acquire) {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => in_vain = 0,
            Some(rayon::Yield::Idle) | None => {
                in_vain += 1;
                if in_vain < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    /// Waits nest here in every way: parts have parts, and all threads are in their turns when the next work begins.
    #[test]
    fn work_ends_with_any_number_of_threads() {
        for threads in 1..=4 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for round in 0..200u64 {
                let parts =
                    || (0..8u64).into_par_iter().map(|i| (0..round).into_par_iter().map(|j| i * j).sum::<u64>());
                let (sum, other) = pool.install(|| awake(|| rayon::join(|| parts().sum::<u64>(), || awake(|| round))));
                assert_eq!((sum, other), (28 * (0..round).sum::<u64>(), round), "{threads} threads");
            }
        }
    }

    #[test]
    #[should_panic(expected = "of the work")]
    fn a_panic_of_the_work_is_not_lost() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| awake(|| panic!("of the work")))
    }
}
