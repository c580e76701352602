//! Tests of looking at folders and files of this disk.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    sync::Mutex,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use super::*;

/// A folder with pictures and a store beside it.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(TempDir::new().unwrap());
        fs::create_dir_all(disk.notes()).unwrap();
        fs::create_dir(disk.root()).unwrap();
        fs::write(disk.0.path().join(".pipe/format"), "2").unwrap();
        disk
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("pictures")
    }

    fn notes(&self) -> PathBuf {
        self.0.path().join(".pipe/partial")
    }

    fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Looks at the folder at a time so much later. Returns what it finds, and the number of bytes that were hashed.
    fn look(&self, later: u64) -> (Result<Snapshot, DiskError>, u64) {
        let hashed = Mutex::new(0);
        let tell = |progress: &Progress| *hashed.lock().unwrap() = progress.done;
        let now = SystemTime::now() + Duration::from_secs(later);
        let look = Look { skip: &[self.0.path().join(".pipe")], notes: &self.notes(), now, tell: &tell };
        let snapshot = Snapshot::of(&self.root(), &look);
        let hashed = *hashed.lock().unwrap();
        (snapshot, hashed)
    }

    fn listing(&self) -> Listing {
        self.look(0).0.unwrap().listing().clone()
    }
}

fn paths(listing: &Listing) -> Vec<&str> {
    listing.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn a_folder_is_its_files_in_order() {
    let disk = Disk::new();
    disk.write("b/2.jpg", b"two");
    disk.write("b/.hidden", b"");
    disk.write("a.jpg", b"one");
    fs::create_dir_all(disk.root().join("c/empty")).unwrap();
    let (snapshot, hashed) = disk.look(0);
    let snapshot = snapshot.unwrap();
    assert_eq!(hashed, 6);
    let record = String::from_utf8(crate::params::record(snapshot.listing())).unwrap();
    let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
    assert_eq!(
        record,
        format!(
            "{{\"empty\":[\"c/empty\"],\"files\":[{{\"digest\":\"{}\",\"path\":\"a.jpg\",\"size\":3}},\
             {{\"digest\":\"{}\",\"path\":\"b/.hidden\",\"size\":0}},{{\"digest\":\"{}\",\"path\":\"b/2.jpg\",\"size\":3}}],\
             \"format\":1}}\n",
            digest(b"one"),
            digest(b""),
            digest(b"two")
        )
    );
    assert_eq!(snapshot.digest(), Digest::of(record.as_bytes()));
    let outputs = snapshot.outputs(&disk.notes());
    assert_eq!(outputs.files()["listing.json"], record.as_bytes());
    assert_eq!(outputs.known().keys().collect::<Vec<_>>(), ["files/a.jpg", "files/b/.hidden", "files/b/2.jpg"]);
    assert_eq!(fs::read(&outputs.known()["files/b/2.jpg"].path).unwrap(), b"two");
}

#[test]
fn links_lead_to_files_of_the_folder_or_are_passed_over() {
    let disk = Disk::new();
    disk.write("a/1.jpg", b"one");
    fs::write(disk.0.path().join("secret"), b"secret").unwrap();
    let link = |target: &str, path: &str| symlink(target, disk.root().join(path)).unwrap();
    link("a/1.jpg", "inside");
    link("inside", "a-link-to-a-link");
    link("../secret", "outside");
    link("nowhere", "dangling");
    link("a", "folder");
    link("loop", "loop");
    let _socket = UnixListener::bind(disk.root().join("socket")).unwrap();
    link("socket", "to-a-socket");
    let listing = disk.listing();
    assert_eq!(paths(&listing), ["a-link-to-a-link", "a/1.jpg", "inside"]);
    assert_eq!(listing.files[2].digest, Digest::of(b"one"));
    assert_eq!(listing.links, ["dangling", "folder", "loop", "outside", "to-a-socket"]);
    assert_eq!(listing.others, ["socket"]);
}

#[test]
fn the_store_in_the_folder_is_passed_over() {
    let disk = Disk::new();
    disk.write("a.jpg", b"one");
    let look =
        Look { skip: &[disk.0.path().join(".pipe")], notes: &disk.notes(), now: SystemTime::now(), tell: &|_| () };
    let whole = Snapshot::of(disk.0.path(), &look).unwrap();
    assert_eq!(paths(whole.listing()), ["pictures/a.jpg"]);
    assert!(whole.listing().empty.is_empty());
}

#[test]
fn names_are_compared_in_nfc() {
    let disk = Disk::new();
    disk.write("A\u{308}pfel/1.jpg", b"one");
    assert_eq!(paths(&disk.listing()), ["\u{c4}pfel/1.jpg"]);
    disk.write("\u{c4}pfel/2.jpg", b"two");
    let error = disk.look(0).0.unwrap_err();
    assert!(matches!(&error, DiskError::SameNames(names) if names.len() == 1), "{error}");
    let text = error.to_string();
    assert!(text.contains(r"`A\xcc\x88pfel`") && text.contains(r"`\xc3\x84pfel`"), "{text}");
}

#[test]
fn a_name_that_is_not_utf_8_is_escaped_and_is_stored_by_its_digest() {
    let disk = Disk::new();
    disk.write(OsStr::from_bytes(b"caf\xe9/1.jpg"), b"one");
    let snapshot = disk.look(0).0.unwrap();
    assert_eq!(paths(snapshot.listing()), [r"caf\xe9/1.jpg"]);
    let outputs = snapshot.outputs(&disk.notes());
    assert_eq!(outputs.known().keys().collect::<Vec<_>>(), [&format!("files/{}", Digest::of(b"one"))]);
    disk.write(r"caf\xe9/2.jpg", b"two");
    assert!(matches!(disk.look(0).0, Err(DiskError::SameNames(_))));
}

#[test]
fn paths_that_differ_only_in_case_are_stored_by_their_digests() {
    let check = |names: &[&str], expected: &[&str]| {
        let file = |(i, path): (usize, &&str)| ListedFile {
            path: (*path).to_owned(),
            digest: Digest::from_bytes([i as u8; 32]),
            size: 1,
            executable: false,
        };
        let files: Vec<_> = names.iter().enumerate().map(file).collect();
        let short = |path: &String| match path.strip_prefix("files/").unwrap().parse::<Digest>() {
            Ok(digest) => digest.as_bytes()[0].to_string(),
            Err(_) => path.clone(),
        };
        let paths = tree_paths(&files);
        assert!(paths.keys().all(|path| check_path(path).is_ok()));
        assert_eq!(paths.keys().map(short).collect::<Vec<_>>(), expected, "{names:?}");
    };
    check(&["a", "b/c"], &["files/a", "files/b/c"]);
    check(&["A", "a", "c"], &["0", "1", "files/c"]);
    check(&["A/x", "a/y"], &["0", "1"]);
    check(&["A", "a/y"], &["0", "1"]);
    check(&["a:b", "c"], &["0", "files/c"]);
    check(&[&"0".repeat(64), "c"], &["0", "files/c"]);
    check(&[&format!("{}/x", "1".repeat(64)), "c"], &["0", "files/c"]);
}

#[test]
fn what_was_hashed_before_is_not_read_again() {
    let disk = Disk::new();
    disk.write("a", &[1; 1000]);
    disk.write("b", &[2; 100]);
    let first = disk.look(60);
    assert_eq!(first.1, 1100);
    assert_eq!(disk.look(120).1, 0);
    disk.write("b", &[3; 100]);
    disk.write("c", &[3; 10]);
    let (second, hashed) = disk.look(120);
    assert_eq!(hashed, 110);
    assert_eq!(second.unwrap().listing().files[1].digest, Digest::of(&[3; 100]));
    fs::remove_file(disk.root().join("a")).unwrap();
    assert_eq!(paths(disk.look(120).0.unwrap().listing()), ["b", "c"]);
}

#[test]
fn a_file_that_was_just_written_is_hashed_again() {
    let disk = Disk::new();
    disk.write("a", &[1; 1000]);
    assert_eq!(disk.look(0).1, 1000);
    // A change within the resolution of the clock would have the same time.
    assert_eq!(disk.look(60).1, 1000);
    assert_eq!(disk.look(60).1, 0);
}

#[test]
fn notes_that_are_damaged_cost_only_time() {
    let disk = Disk::new();
    disk.write("a", &[1; 1000]);
    let digest = disk.look(60).0.unwrap().digest();
    let note = fs::read_dir(disk.notes()).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&note).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&note, bytes).unwrap();
        let (again, hashed) = disk.look(60);
        assert_eq!((again.unwrap().digest(), hashed), (digest, 1000), "{at}");
    }
    fs::write(&note, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(disk.look(60).1, 1000);
    // Without a store, nothing is written.
    fs::remove_dir_all(disk.0.path().join(".pipe")).unwrap();
    assert_eq!(disk.look(60).1, 1000);
    assert!(!disk.0.path().join(".pipe").exists());
}

#[test]
fn a_key_has_neither_path_nor_time() {
    let [one, other] = [Disk::new(), Disk::new()];
    for disk in [&one, &other] {
        disk.write("a/1.jpg", b"one");
    }
    File::options()
        .write(true)
        .open(other.root().join("a/1.jpg"))
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
    assert_eq!(one.look(0).0.unwrap().digest(), other.look(0).0.unwrap().digest());
}

#[test]
fn errors_say_what_is_at_a_path() {
    let disk = Disk::new();
    let file = disk.write("a", b"one");
    let look = Look { skip: &[], notes: &disk.notes(), now: SystemTime::now(), tell: &|_| () };
    let folder = |path: &Path| Snapshot::of(path, &look).unwrap_err().to_string();
    assert_eq!(folder(&disk.root().join("no")), "is not there");
    assert_eq!(folder(&file), "is a file, not a folder");
    let one = |path: &Path| known_file(path, &look).unwrap_err().to_string();
    assert_eq!(one(&disk.root().join("no")), "is not there");
    assert_eq!(one(&disk.root()), "is a folder, not a file");
    let known = known_file(&file, &look).unwrap();
    assert_eq!((known.digest, known.size), (Digest::of(b"one"), 3));
    let many: Vec<_> = (0..102).map(|i| format!("`{i}`: no")).collect();
    let text = DiskError::Unreadable(many).to_string();
    assert!(text.starts_with("has 102 files and folders that cannot be read:\n  `0`: no\n"), "{text}");
    assert!(text.ends_with("\n  `99`: no\n  and 2 more"), "{text}");
}
