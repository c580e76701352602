//! What the process does while it waits for a lock that another process holds.

use std::{fmt, sync::OnceLock};

/// Says whether the process was asked to stop.
static STOP: OnceLock<fn() -> bool> = OnceLock::new();

/// Makes every wait for a lock in this process end with [`StoreError::Interrupted`](crate::StoreError::Interrupted) as soon as `stop`
/// returns true. The first call counts.
pub fn stop_waiting_when(stop: fn() -> bool) {
    let _ = STOP.set(stop);
}

pub(crate) fn must_stop() -> bool {
    STOP.get().is_some_and(|stop| stop())
}

/// Says what a process has been waiting for.
pub(crate) fn tell(what: &dyn fmt::Display) {
    tracing::warn!("waiting: {what}");
}
