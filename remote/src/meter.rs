//! How far a transfer is, and the transfer of many things at once.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{Stream, StreamExt};

use crate::error::Result;

/// The number of requests that are under way at a time.
pub(crate) const AT_ONCE: usize = 16;

/// How often it is told how far a transfer is.
const TICK: Duration = Duration::from_millis(100);

/// How far a transfer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The bytes that are done, and all bytes.
    pub bytes: (u64, u64),
    /// The objects and results that are done, and all of them.
    pub items: (u64, u64),
}

/// Counts what is done.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: AtomicU64,
    items: AtomicU64,
    total_bytes: AtomicU64,
    total_items: AtomicU64,
}

impl Meter {
    pub(crate) fn expect(&self, items: usize, bytes: u64) {
        self.total_items.fetch_add(items as u64, Ordering::Relaxed);
        self.total_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_item(&self) {
        self.items.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> Progress {
        let [bytes, total_bytes, items, total_items] =
            [&self.bytes, &self.total_bytes, &self.items, &self.total_items].map(|count| count.load(Ordering::Relaxed));
        Progress { bytes: (bytes.min(total_bytes), total_bytes), items: (items.min(total_items), total_items) }
    }
}

/// Does `jobs`, [`AT_ONCE`] at a time, and returns their results in the order in which they ended. The first error stops them all.
pub(crate) async fn all<T>(
    jobs: impl IntoIterator<Item = impl Future<Output = Result<T>>>,
    meter: &Meter,
    watch: &mut dyn FnMut(Progress),
) -> Result<Vec<T>> {
    let mut done = Vec::new();
    let jobs = futures_util::stream::iter(jobs).buffer_unordered(AT_ONCE);
    each(jobs, meter, watch, &mut |one| {
        done.push(one);
        Ok(())
    })
    .await?;
    Ok(done)
}

/// Takes what `jobs` yields, and tells how far they are meanwhile.
pub(crate) async fn each<T>(
    jobs: impl Stream<Item = Result<T>>,
    meter: &Meter,
    watch: &mut dyn FnMut(Progress),
    take: &mut dyn FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut jobs = std::pin::pin!(jobs);
    watch(meter.progress());
    loop {
        match tokio::time::timeout(TICK, jobs.next()).await {
            Ok(Some(one)) => take(one?)?,
            Ok(None) => break,
            Err(_) => {}
        }
        watch(meter.progress());
    }
    Ok(())
}

/// Does what waits for the disk or takes time on a thread of its own.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
