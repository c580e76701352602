//! The signals that ask this process to stop.

use std::thread;

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To stop: ^C, or SIGTERM.
    Stop,
    /// To end, because the terminal is closed: SIGHUP.
    HangUp,
}

/// Calls `handler` on a thread of its own for each signal that asks this process to stop. If the system allows no thread, the signals
/// end the process as usual.
pub(crate) fn listen(handler: impl Fn(Asked) + Send + 'static) {
    let listen = move || {
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
        for signal in signals.forever() {
            handler(if signal == SIGHUP { Asked::HangUp } else { Asked::Stop });
        }
    };
    // Without a thread nothing is registered.
    drop(thread::Builder::new().spawn(listen));
}
