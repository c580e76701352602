//! An allocator that counts bytes.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

/// More than any target may take. Beyond it there is no memory, so that a fault does not take the machine's.
const ALL: usize = 6 << 30;

fn count(added: usize, removed: usize) -> bool {
    let now = NOW.fetch_add(added, Relaxed).wrapping_add(added);
    PEAK.fetch_max(now, Relaxed);
    NOW.fetch_sub(removed, Relaxed);
    now <= ALL
}

// SAFETY: Every call is passed on to the allocator of the system, or there is no memory. Counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size(), 0) {
            return std::ptr::null_mut();
        }
        // SAFETY: The caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !count(layout.size(), 0) {
            return std::ptr::null_mut();
        }
        // SAFETY: The caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: The caller keeps the contract of `dealloc`, and `at` is from `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The bytes may be copied, so that both blocks exist for a moment.
        if !count(size, layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: The caller keeps the contract of `realloc`, and `at` is from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns what `f` returns, and the most bytes that were allocated during it beyond those before.
pub(crate) fn peak_of<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = f();
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    HIGHEST.fetch_max(peak, Relaxed);
    (result, peak)
}

/// Returns the highest peak since the last call.
pub(crate) fn highest() -> usize {
    HIGHEST.swap(0, Relaxed)
}
