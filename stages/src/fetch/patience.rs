//! How often, and how long after another, a server is asked that does not give the whole file.

use std::time::Duration;

use super::{
    Network,
    failure::{Passing, SourceError},
    location::Location,
};
use crate::stage::Host;

/// What is left of the patience with a server.
pub(super) struct Patience<'a> {
    network: &'a Network,
    host: &'a dyn Host,
    attempt: u32,
    /// The attempts in a row that brought no bytes.
    fruitless: u32,
    /// How long was waited since bytes came.
    waited: Duration,
}

/// The most attempts in a row that bring no bytes, if the server is not busy.
const ATTEMPTS: u32 = 3;
/// The most attempts in all, for servers that end each answer early.
const ATTEMPTS_IN_ALL: u32 = 100;
/// The pause after the first attempt without bytes. It is twice that after the second.
const PAUSE: Duration = Duration::from_millis(200);
/// The pause after the first answer of a busy server. It doubles.
const BUSY: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest time to wait for a busy server, in all.
const IN_ALL: Duration = Duration::from_secs(10 * 60);

impl<'a> Patience<'a> {
    pub(super) fn new(network: &'a Network, host: &'a dyn Host) -> Self {
        Self { network, host, attempt: 0, fruitless: 0, waited: Duration::ZERO }
    }

    /// Waits after an attempt that did not bring the whole file.
    ///
    /// # Errors
    /// If that was the last attempt, or waiting was interrupted.
    pub(super) fn after(&mut self, Passing { why, came, busy }: Passing, url: &Location) -> Result<(), SourceError> {
        self.attempt += 1;
        self.fruitless = if came { 0 } else { self.fruitless + 1 };
        if came {
            self.waited = Duration::ZERO;
        }
        let given_up = |why: String| Err(SourceError::Unreachable(why));
        let attempt = self.attempt;
        let last = if busy.is_some() { ATTEMPTS_IN_ALL } else { ATTEMPTS };
        if self.fruitless >= last || attempt >= ATTEMPTS_IN_ALL {
            return given_up(format!("{why} (attempt {attempt})"));
        }
        let pause = match busy {
            _ if came => return Ok(()),
            None => PAUSE * self.fruitless,
            Some(asked) => {
                let growing = BUSY.saturating_mul(1 << (self.fruitless - 1).min(10)).min(LONGEST);
                let pause = asked.unwrap_or(growing).max(BUSY);
                if self.waited + pause > IN_ALL {
                    return given_up(match asked {
                        Some(asked) => format!("{why} and asks to wait {} (attempt {attempt})", words(asked)),
                        None => format!("{why}, after {} of waiting (attempt {attempt})", words(self.waited)),
                    });
                }
                self.waited += pause;
                tracing::warn!("`{url}`: {why}; asking again in {}", words(pause));
                pause
            }
        };
        if self.network.wait(pause, self.host) { Ok(()) } else { Err(SourceError::Interrupted) }
    }
}

/// Returns a time as a person says it: `40 s`, `3 min`, `2 h`.
fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
