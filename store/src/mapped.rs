//! Files that are mapped into memory, and what happens if the disk loses a page of one.
//!
//! A page that cannot be read raises SIGBUS, which kills a process. The handler here puts a page of zeros in its place and notes that
//! the mapping is not what it was, as libwayland does for buffers that its clients shrink (`wl_shm_buffer_begin_access`). Reading goes
//! on with wrong bytes, so whoever has used mapped bytes must ask [`lost_page`], before anything that depends on them is committed.

use std::{
    fs::File,
    io,
    ops::Deref,
    path::{Path, PathBuf},
    ptr,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

/// The most files that are mapped at a time. Further files are read.
const MOST: usize = 1024;

/// The addresses of a mapping. Only atomics: the handler of a signal reads them.
struct Slot {
    /// 0 if the slot is free, 1 while it is being filled.
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

static SLOTS: [Slot; MOST] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), lost: AtomicBool::new(false) } }; MOST];
/// The files that are mapped, with their slots, and those that have lost a page while they were, with `true`.
static PATHS: Mutex<Vec<(usize, bool, PathBuf)>> = Mutex::new(Vec::new());
static HANDLER: Once = Once::new();
/// What SIGBUS did before.
static mut BEFORE: libc::sigaction = unsafe_zeroed();

/// Returns an action that has not been filled in.
const fn unsafe_zeroed() -> libc::sigaction {
    // SAFETY: it is plain data, for which zeros are the default action.
    unsafe { std::mem::zeroed() }
}

/// A mapped file.
#[derive(Debug)]
pub(crate) struct Mapped {
    map: memmap2::Mmap,
    slot: usize,
}

impl Mapped {
    /// Maps a file. Returns nothing if too many files are mapped already.
    ///
    /// # Safety
    /// No process may write to the file while it is mapped.
    pub(crate) unsafe fn new(file: &File, path: &Path) -> io::Result<Option<Self>> {
        HANDLER.call_once(|| {
            // SAFETY: `survive` has the type that `SA_SIGINFO` asks for, and touches only atomics and its own page.
            unsafe {
                let mut action = unsafe_zeroed();
                action.sa_sigaction = survive as extern "C" fn(_, _, _) as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigaction(libc::SIGBUS, &action, &raw mut BEFORE);
            }
        });
        let free = |slot: &&Slot| slot.start.compare_exchange(0, 1, SeqCst, SeqCst).is_ok();
        let Some(slot) = SLOTS.iter().position(|slot| free(&slot)) else { return Ok(None) };
        // SAFETY: the caller promises that nobody writes to it.
        match unsafe { memmap2::Mmap::map(file) } {
            Ok(map) => {
                SLOTS[slot].lost.store(false, SeqCst);
                SLOTS[slot].end.store(map.as_ptr() as usize + map.len(), SeqCst);
                SLOTS[slot].start.store(map.as_ptr() as usize, SeqCst);
                PATHS.lock().unwrap_or_else(PoisonError::into_inner).push((slot, false, path.to_owned()));
                Ok(Some(Self { map, slot }))
            }
            Err(error) => {
                SLOTS[slot].start.store(0, SeqCst);
                Err(error)
            }
        }
    }

    /// Returns whether a page of this mapping was lost.
    pub(crate) fn is_lost(&self) -> bool {
        SLOTS[self.slot].lost.load(SeqCst)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let mut paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = paths.iter().position(|(slot, lost, _)| *slot == self.slot && !lost) {
            if self.is_lost() { paths[at].1 = true } else { drop(paths.swap_remove(at)) }
        }
        SLOTS[self.slot].start.store(0, SeqCst);
    }
}

/// Returns a file in `folder` of which this process has read a lost page, if there is one. What was computed from it may be wrong.
pub(crate) fn lost_page(folder: &Path) -> Option<PathBuf> {
    let is_lost = |slot: &Slot| slot.start.load(SeqCst) > 1 && slot.lost.load(SeqCst);
    let paths = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lost = paths.iter().filter(|(slot, lost, _)| *lost || is_lost(&SLOTS[*slot])).map(|(_, _, path)| path);
    lost.find(|path| path.starts_with(folder)).cloned()
}

/// Handles SIGBUS: puts a page of zeros in the place of a lost page. If the address is not in a mapping of ours, the signal does what
/// it did before.
extern "C" fn survive(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the system passes a valid `info`. `mmap` and `sigaction` are plain system calls. The page is within a mapping of this
    // process, which no one writes to.
    unsafe {
        let address = (*info).si_addr() as usize;
        let ours = SLOTS.iter().find(|slot| {
            let start = slot.start.load(SeqCst);
            start > 1 && (start..slot.end.load(SeqCst)).contains(&address)
        });
        if let Some(slot) = ours {
            let size = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
            let page = ptr::without_provenance_mut::<libc::c_void>(address / size * size);
            slot.lost.store(true, SeqCst);
            if libc::mmap(page, size, libc::PROT_READ, flags, -1, 0) != libc::MAP_FAILED {
                return;
            }
        }
        // The instruction is repeated when this returns, and then the signal does what it did before.
        libc::sigaction(libc::SIGBUS, &raw const BEFORE, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_page_is_noticed_and_does_not_kill_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        // SAFETY: writing to it is what is tested.
        let mapped = unsafe { Mapped::new(&file, &path) }.unwrap().unwrap();
        assert!(mapped[90_000] == 7 && !mapped.is_lost());
        // A page after the end of the file cannot be read, like one that the disk has lost.
        file.set_len(50_000).unwrap();
        assert_eq!(mapped.iter().map(|byte| u64::from(*byte == 7)).sum::<u64>(), 50_000);
        assert!(mapped.is_lost());
        assert_eq!(lost_page(folder.path()), Some(path.clone()));
        drop(mapped);
        assert_eq!(lost_page(folder.path()), Some(path));
    }
}
