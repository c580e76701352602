//! Panics of other threads, which would be lost.
//!
//! burn computes on a thread of its own. If a launch panics there, for example because CUDA's headers are missing, burn logs it and goes
//! on with numbers that nobody computed. So whoever computes on a device asks afterwards whether anything has panicked.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{Mutex, Once, PoisonError},
};

/// What is known of panics.
static SEEN: Mutex<Seen> = Mutex::new(Seen { is_watched: false, first: None, catches: 0, caught: None });

struct Seen {
    /// Whether [`watch`] was called.
    is_watched: bool,
    /// The message of the first panic since then, if nobody has caught it.
    first: Option<String>,
    /// The calls of [`caught`] under way.
    catches: usize,
    caught: Option<String>,
}

/// Notes panics from now on, on any thread. Each is still reported as before.
pub fn watch() {
    listen();
    seen().is_watched = true;
}

/// Hears of panics from now on.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            let message = || panic.payload_as_str().unwrap_or("no message").trim().to_owned();
            let mut seen = seen();
            let is_caught = seen.catches > 0;
            if is_caught {
                seen.caught.get_or_insert_with(message);
            } else if seen.is_watched {
                seen.first.get_or_insert_with(message);
            }
            drop(seen);
            if !is_caught {
                before(panic);
            }
        }));
    });
}

/// Returns the message of the first panic since [`watch`], if there was one.
pub fn noted() -> Option<String> {
    seen().first.clone()
}

/// Returns what `f` returns, or the message of the first panic meanwhile, on any thread. Such a panic is neither reported nor noted.
///
/// # Errors
/// If anything panicked.
pub fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    listen();
    seen().catches += 1;
    let found = catch_unwind(AssertUnwindSafe(f));
    let mut seen = seen();
    seen.catches -= 1;
    match (found, seen.caught.take()) {
        (Ok(found), None) => Ok(found),
        (_, message) => Err(message.unwrap_or_default()),
    }
}

fn seen() -> std::sync::MutexGuard<'static, Seen> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}
