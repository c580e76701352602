//! The memory that large files take on their way into a store and out of it: a few pieces of them, however large they are. The allocator
//! of this test counts bytes.

#![expect(clippy::disallowed_methods, reason = "the tests make and read files")]
#![expect(clippy::print_stdout, reason = "the figures of docs/reliability.md are printed with `--nocapture`")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use pipe_store::{Digest, FoundFile, Store};

/// The allocator of the system, which counts the bytes that are allocated, and the most there were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn count(added: usize, removed: usize) {
    let now = NOW.fetch_add(added, Relaxed).wrapping_add(added);
    PEAK.fetch_max(now, Relaxed);
    NOW.fetch_sub(removed, Relaxed);
}

// SAFETY: Every call is passed on to the allocator of the system. Counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: The caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: The caller keeps the contract of `dealloc`, and `at` is from `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The bytes may be copied, so that both blocks exist for a moment.
        count(size, layout.size());
        // SAFETY: The caller keeps the contract of `realloc`, and `at` is from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;
/// The length of a large file in MiB. Longer ones take no more, because nothing depends on their length.
const LARGE: usize = 150;
/// The most bytes that may be allocated.
const MOST: usize = 100 * MIB;

/// Does some work, and checks that it takes little memory.
#[track_caller]
fn check<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let done = work();
    let peak = PEAK.load(Relaxed) - before;
    println!("{what}: peak {:.1} MiB", peak as f64 / MIB as f64);
    assert!(peak < MOST, "{what}: peak {:.1} MiB", peak as f64 / MIB as f64);
    done
}

/// Writes a file of noise or of one byte again and again.
fn write(path: &Path, mib: usize, noise: bool) -> FoundFile {
    let (mut file, mut piece) = (File::create(path).unwrap(), vec![7; MIB]);
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..mib {
        if noise {
            random.fill(&mut piece);
        }
        file.write_all(&piece).unwrap();
    }
    FoundFile { path: path.to_owned(), size: (mib * MIB) as u64, executable: false }
}

fn digest(path: &Path) -> Digest {
    let (mut file, mut piece, mut hasher) = (File::open(path).unwrap(), vec![0; MIB], blake3::Hasher::new());
    loop {
        match file.read(&mut piece).unwrap() {
            0 => return hasher.finalize().into(),
            n => hasher.update(&piece[..n]),
        };
    }
}

/// One test, because the allocator counts for all threads.
#[test]
fn files_of_any_length_take_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let mut files: BTreeMap<String, FoundFile> = BTreeMap::new();
    let mut add = |name: &str, mib, noise| {
        files.insert(name.to_owned(), write(&folder.path().join(name), mib, noise));
    };
    add("noise", LARGE, true);
    add("zeros", LARGE, false);
    // The largest that are read as a whole.
    (0..40).for_each(|i| add(&format!("small-{i}"), 4, i % 2 == 0));

    let put = || store.put_tree_with(&BTreeMap::new(), &BTreeMap::new(), &files, &mut |_| true).unwrap();
    let (_, tree) = check("files that a program wrote", put);
    for (name, file) in &files {
        assert_eq!(tree.files[name].digest, digest(&file.path), "{name}");
    }

    let out = folder.path().join("out");
    for name in ["noise", "zeros"] {
        let (file, to) = (tree.files[name].digest, out.join(name));
        check(&format!("laying out {name}"), || store.lay(&file, &to, false)).unwrap();
        assert_eq!(digest(&to), file);
    }

    let trajectory = Digest::of(b"t");
    let parts: BTreeMap<_, _> = files.iter().map(|(name, file)| (name.clone(), file.path.clone())).collect();
    check("saving a checkpoint", || store.save_checkpoint_files(&trajectory, 1, &parts, 1)).unwrap();
    let state = folder.path().join("state");
    let laid = check("laying out a checkpoint", || store.lay_latest_checkpoint(&trajectory, 1, &state)).unwrap();
    assert_eq!(laid, Some(1));
    for name in ["noise", "zeros", "small-0"] {
        assert_eq!(digest(&state.join(name)), tree.files[name].digest, "{name}");
    }
    fs::remove_dir_all(folder.path()).unwrap();
}
