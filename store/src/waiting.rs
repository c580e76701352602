//! Waiting for a lock that another process holds.

use std::{fmt, sync::OnceLock, thread, time::Duration};

use crate::{
    disk::{Handle, Lock},
    error::{Result, StoreError},
};

/// Says whether the process was asked to stop.
static STOP: OnceLock<fn() -> bool> = OnceLock::new();

/// Makes every wait for a lock in this process end with [`StoreError::Interrupted`](crate::StoreError::Interrupted) as soon as `stop`
/// returns true. The first call counts.
pub fn stop_waiting_when(stop: fn() -> bool) {
    let _ = STOP.set(stop);
}

/// The first and the longest pause between two attempts to take a lock.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));
/// How long to wait for a lock before saying so.
const SILENCE: Duration = Duration::from_millis(1000);

/// Waits for the lock on a file and takes it. After a second it says what it waits for.
///
/// # Errors
/// [`StoreError::Interrupted`] if the process is asked to stop meanwhile.
pub(crate) fn lock(handle: &Handle, kind: Lock, what: &dyn fmt::Display) -> Result<()> {
    let (mut pause, longest) = PAUSES;
    let (mut waited, mut told) = (Duration::ZERO, false);
    while !handle.try_lock(kind)? {
        if STOP.get().is_some_and(|stop| stop()) {
            return Err(StoreError::Interrupted);
        }
        if waited >= SILENCE && !std::mem::replace(&mut told, true) {
            tracing::warn!("waiting: {what}");
        }
        thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(longest);
    }
    Ok(())
}
