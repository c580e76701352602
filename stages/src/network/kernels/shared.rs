//! A slice that several threads write at once, each its own part.

use std::marker::PhantomData;

/// A mutable slice that several threads may write at once. Each promises that no other code uses its part.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: safe code can only get the address from a `Shared`. All access to the numbers is unsafe, and requires the caller's promise
// that no other thread uses them at the same time. `f32` itself is `Send`.
unsafe impl Send for Shared<'_> {}
// SAFETY: as for `Send`.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Borrows `values`.
    pub(super) fn new(values: &'a mut [f32]) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len(), borrowed: PhantomData }
    }

    /// Returns the number of elements.
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// Returns the address of the first element. The [`len`](Self::len) elements from there belong to the borrowed slice.
    pub(super) fn as_mut_ptr(self) -> *mut f32 {
        self.start
    }

    /// Returns the elements from `start` on.
    ///
    /// # Panics
    /// If there are fewer than `start` elements.
    pub(super) fn from(self, start: usize) -> Self {
        assert!(start <= self.len, "the start lies within the slice");
        // SAFETY: `start` is at most the length of the borrowed slice, which is still borrowed.
        Self { start: unsafe { self.start.add(start) }, len: self.len - start, ..self }
    }

    /// Returns the first `len` elements as a slice.
    ///
    /// # Safety
    /// No other code may read or write these elements while the returned slice lives.
    ///
    /// # Panics
    /// If there are fewer than `len` elements.
    pub(super) unsafe fn slice(self, len: usize) -> &'a mut [f32] {
        assert!(len <= self.len, "the part lies within the slice");
        // SAFETY: there are at least `len` elements, they belong to a slice that is borrowed for `'a`, and the caller promises
        // that no other code uses them.
        unsafe { std::slice::from_raw_parts_mut(self.start, len) }
    }
}
