//! Whether this machine sees the locks that jobs hold on others.

use pipe_store::ActionKey;

use super::Driver;

impl Driver {
    /// Finds out whether this machine sees the lock that a job on another one holds.
    pub(super) fn check_lock(&mut self, key: ActionKey, host: String, count: u64) {
        if self.locks.is_said {
            return;
        }
        if let Some((suspect, before)) = self.locks.suspect {
            // Its lock was free after its note number `before`, and it has written another one since: so it held the lock all the time.
            if suspect == key && count > before {
                self.locks.is_said = true;
                self.say(format!(
                    "the locks of this store are not seen by other machines ({host} holds one): two runs may do the same work, which \
                     changes no result, and `pipe gc` waits until no run is unfinished"
                ));
                self.note_problem(self.store.note_local_locks());
            }
            return;
        }
        if !self.locks.seen.contains(&host) {
            match self.store.try_lock_action(&key) {
                Ok(Some(_free)) => self.locks.suspect = Some((key, count)),
                Ok(None) => drop(self.locks.seen.insert(host)),
                Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "a lock cannot be tried"),
            }
        }
    }
}
