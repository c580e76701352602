//! Panics of other threads, which would be lost.
//!
//! burn computes on a thread of its own. If a launch panics there, for example because CUDA's headers are missing, burn logs it and goes
//! on with numbers that nobody computed. So whoever computes on a device asks afterwards whether anything has panicked.

use std::sync::{Mutex, Once, PoisonError};

/// The message of the first panic since [`watch`].
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// Notes panics from now on, on any thread. Each is still reported as before.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let message = panic.payload_as_str().unwrap_or("no message").trim();
            first().get_or_insert_with(|| message.to_owned());
            before(panic);
        }));
    });
}

/// Returns the message of the first panic since [`watch`], if there was one.
pub fn noted() -> Option<String> {
    first().clone()
}

fn first() -> std::sync::MutexGuard<'static, Option<String>> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner)
}
