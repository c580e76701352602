//! Work that is done once for all who wait for it.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::error::{Result, StoreError};

/// What threads want to be done together. While one of them does it for a group, the others that come are the next group.
pub(crate) struct Group<T, R> {
    queue: Mutex<Queue<T, R>>,
    changed: Condvar,
}

struct Queue<T, R> {
    waiting: Vec<(T, Slot<R>)>,
    /// Whether a thread is working for a group.
    is_led: bool,
}

/// Where a thread finds what it is told.
type Slot<R> = Arc<Mutex<Option<Outcome<R>>>>;

/// What a thread is told.
pub(crate) enum Outcome<R> {
    Done(R),
    /// It was alone and failed.
    Failed(StoreError),
    /// Its group failed, perhaps not because of it.
    GroupFailed,
}

impl<T, R> Default for Group<T, R> {
    fn default() -> Self {
        Self { queue: Mutex::new(Queue { waiting: Vec::new(), is_led: false }), changed: Condvar::new() }
    }
}

impl<T, R> Group<T, R> {
    /// Calls `work` for `item` together with the items of other threads. One of the threads does it for all that wait.
    pub(crate) fn join(&self, item: T, work: impl FnOnce(Vec<T>) -> Result<Vec<R>>) -> Outcome<R> {
        let own = Arc::new(Mutex::new(None));
        let mut queue = lock(&self.queue);
        queue.waiting.push((item, own.clone()));
        loop {
            if let Some(outcome) = lock(&own).take() {
                return outcome;
            }
            if !queue.is_led {
                break;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.is_led = true;
        let (items, outcomes): (Vec<_>, Vec<_>) = mem::take(&mut queue.waiting).into_iter().unzip();
        drop(queue);
        let is_alone = items.len() == 1;
        let (done, panic): (Vec<_>, _) = match catch_unwind(AssertUnwindSafe(|| work(items))) {
            Ok(Ok(done)) => (done.into_iter().map(Outcome::Done).collect(), None),
            Ok(Err(error)) if is_alone => (vec![Outcome::Failed(error)], None),
            Ok(Err(_)) => (outcomes.iter().map(|_| Outcome::GroupFailed).collect(), None),
            // The others do not wait for a thread that is gone.
            Err(panic) => (outcomes.iter().map(|_| Outcome::GroupFailed).collect(), Some(panic)),
        };
        for (outcome, done) in outcomes.iter().zip(done) {
            *lock(outcome) = Some(done);
        }
        lock(&self.queue).is_led = false;
        self.changed.notify_all();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        lock(&own).take().expect("whoever works for a group works for itself")
    }

    /// Lets nobody work until `ready` items wait.
    #[cfg(test)]
    pub(crate) fn wait_for(&self, ready: usize) -> impl FnOnce() {
        lock(&self.queue).is_led = true;
        move || {
            while lock(&self.queue).waiting.len() < ready {
                std::thread::yield_now();
            }
            lock(&self.queue).is_led = false;
            self.changed.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
