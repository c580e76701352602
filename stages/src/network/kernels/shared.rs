//! Numbers that several threads write at once, each its own part.

use std::marker::PhantomData;

/// Numbers that are borrowed for writing from several threads at once. Whoever writes says that nobody else uses that part.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `Shared` does nothing by itself but hand out its address. Every way to the numbers is unsafe, and there the caller
// promises that no other thread uses them meanwhile. `f32` itself may be sent.
unsafe impl Send for Shared<'_> {}
// SAFETY: as for `Send`.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Borrows `values`.
    pub(super) fn new(values: &'a mut [f32]) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len(), borrowed: PhantomData }
    }

    /// Returns how many numbers there are.
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// Returns the address of the first number. All [`len`](Self::len) numbers from there belong to the borrowed slice.
    pub(super) fn as_mut_ptr(self) -> *mut f32 {
        self.start
    }

    /// Returns the numbers from `start` on.
    ///
    /// # Panics
    /// If there are fewer than `start`.
    pub(super) fn from(self, start: usize) -> Self {
        assert!(start <= self.len, "a part lies within the whole");
        // SAFETY: `start` is at most the length of the borrowed slice, which is still borrowed.
        Self { start: unsafe { self.start.add(start) }, len: self.len - start, ..self }
    }

    /// Returns the first `len` numbers as a slice.
    ///
    /// # Safety
    /// While the slice lives, nobody else reads or writes these numbers.
    ///
    /// # Panics
    /// If there are fewer.
    pub(super) unsafe fn slice(self, len: usize) -> &'a mut [f32] {
        assert!(len <= self.len, "a part lies within the whole");
        // SAFETY: the numbers belong to a slice that is borrowed for `'a`, there are `len` of them, and the caller promises
        // that nobody else uses them.
        unsafe { std::slice::from_raw_parts_mut(self.start, len) }
    }
}
