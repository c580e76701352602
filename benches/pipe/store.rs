//! The store, with other tools on the same number of bytes for comparison.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::{Duration, SystemTime},
};

use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use pipe_stages::philox::{Purpose, Stream};
use pipe_store::{ObjectSource, Store};
use tempfile::TempDir;

const GIB: usize = 1 << 30;

/// Returns bytes that cannot be compressed.
fn noise(length: usize) -> Vec<u8> {
    let stream = Stream::new(7, Purpose::Split, 0, 0);
    let blocks = length.div_ceil(16);
    let block =
        |i: usize| stream.block(u32::try_from(i).expect("less than 64 GiB")).into_iter().flat_map(u32::to_le_bytes);
    let mut bytes: Vec<u8> = (0..blocks).flat_map(block).collect();
    bytes.truncate(length);
    bytes
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn store(folder: &TempDir) -> Store {
    Store::open(&folder.path().join("store")).expect("a store can be made")
}

/// Returns a folder with 1 GiB in the file `source`.
fn with_source() -> TempDir {
    let folder = folder();
    fs::write(folder.path().join("source"), noise(GIB)).expect("the disk has room");
    folder
}

#[divan::bench(sample_count = 5)]
fn put_1_gib(bencher: Bencher) {
    let bytes = noise(GIB);
    bencher.counter(BytesCount::new(GIB)).with_inputs(folder).bench_local_refs(|folder| store(folder).put(&bytes));
}

#[divan::bench(sample_count = 5)]
fn put_1_gib_from_a_file(bencher: Bencher) {
    let source = with_source();
    let put = |folder: &mut TempDir| store(folder).put_file(&source.path().join("source"));
    bencher.counter(BytesCount::new(GIB)).with_inputs(folder).bench_local_refs(put);
}

/// `cp` and `sync`, for comparison.
#[divan::bench(sample_count = 5)]
fn copy_and_sync_1_gib(bencher: Bencher) {
    let source = with_source();
    let copy = |folder: &mut TempDir| {
        let to = folder.path().join("copy");
        fs::copy(source.path().join("source"), &to)?;
        File::open(&to)?.sync_all()
    };
    bencher.counter(BytesCount::new(GIB)).with_inputs(folder).bench_local_refs(copy);
}

#[divan::bench(sample_count = 10)]
fn verify_1_gib(bencher: Bencher) {
    let folder = with_source();
    let store = store(&folder);
    store.put(&std::fs::read(folder.path().join("source")).expect("it was just written")).expect("the disk has room");
    let verify = || {
        assert!(store.verify(&pipe_engine::study::manifest, &mut |_, _| {}).expect("the store can be read").is_clean())
    };
    bencher.counter(BytesCount::new(GIB)).bench_local(verify);
}

/// The function that `b3sum` uses for a file, for comparison.
#[divan::bench(sample_count = 10)]
fn b3sum_1_gib(bencher: Bencher) {
    let folder = with_source();
    let hash = || blake3::Hasher::new().update_mmap_rayon(folder.path().join("source")).map(|hasher| hasher.finalize());
    bencher.counter(BytesCount::new(GIB)).bench_local(hash);
}

#[divan::bench(sample_count = 20)]
fn get_1000_small(bencher: Bencher) {
    let folder = folder();
    let names: Vec<_> =
        (0..1000_u32).map(|i| store(&folder).put(&i.to_le_bytes()).expect("the disk has room")).collect();
    let read_all = |store: Store| names.iter().map(|name| store.read(name).expect("it is there").len()).sum::<usize>();
    // A store remembers the objects that it has read, so each sample opens it anew.
    bencher.counter(ItemsCount::new(names.len())).with_inputs(|| store(&folder)).bench_local_values(read_all);
}

#[divan::bench(sample_count = 20)]
fn get_64_mib(bencher: Bencher) {
    let folder = folder();
    let bytes = noise(GIB / 16);
    let name = store(&folder).put(&bytes).expect("the disk has room");
    let read = |store: Store| store.read(&name).expect("it is there").len();
    bencher.counter(BytesCount::new(bytes.len())).with_inputs(|| store(&folder)).bench_local_values(read);
}

/// Every object is old, and nothing refers to it.
#[divan::bench(sample_count = 3)]
fn gc_100_000_objects(bencher: Bencher) {
    let collect = |folder: &mut TempDir| {
        let store = store(folder);
        let roots = store.gc_roots().expect("the store can be read");
        let later = SystemTime::now() + Duration::from_secs(3600);
        let plan = store.gc_plan(&roots, later, Duration::ZERO).expect("the store can be read");
        let swept = store.sweep(&plan).expect("the store can be written");
        assert_eq!(swept.removed.count, 100_000);
    };
    bencher.with_inputs(with_100_000_objects).bench_local_refs(collect);
}

/// Every object is young and therefore kept.
#[divan::bench(sample_count = 5)]
fn gc_of_nothing_in_100_000_objects(bencher: Bencher) {
    let folder = with_100_000_objects();
    let plan = || {
        let store = store(&folder);
        let roots = store.gc_roots().expect("the store can be read");
        let grace = Duration::from_secs(14 * 86_400);
        let plan = store.gc_plan(&roots, SystemTime::now(), grace).expect("the store can be read");
        assert!(store.sweep(&plan).expect("the store can be written").removed.count == 0);
    };
    bencher.bench_local(plan);
}

/// Returns a folder with a store. Its objects are written without syncing, because that would take minutes.
fn with_100_000_objects() -> TempDir {
    let folder = folder();
    let objects = store(&folder).root().join("objects");
    let write = |path: &Path, bytes: &[u8]| File::create(path).and_then(|mut file| file.write_all(bytes));
    for shard in 0..=255_u8 {
        fs::create_dir_all(objects.join(format!("{shard:02x}"))).expect("the disk has room");
    }
    for i in 0..100_000_u32 {
        let name = blake3::hash(&i.to_le_bytes()).to_hex();
        let path = objects.join(&name[..2]).join(&name[2..]);
        write(&path, &i.to_le_bytes()).expect("the disk has room");
    }
    folder
}
