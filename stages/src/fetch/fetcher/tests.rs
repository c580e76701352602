//! Tests of downloads from a tiny server, mirrors and files.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tempfile::TempDir;

use super::*;
use crate::{
    fetch::{ARCHIVE, FetchSpec},
    stage::{Checkpoint, ComputeDevice, QuietHost},
};

/// What a server does with a request.
#[derive(Clone)]
enum Reply {
    /// 200 and these bytes.
    Whole(Vec<u8>),
    /// 206 and these bytes from the one asked for on, or 416 if there are none.
    Ranges(Vec<u8>),
    /// 200 with the length of these bytes, but the connection breaks after this number of them.
    Break(Vec<u8>, usize),
    /// 200 without a length, and these bytes.
    Unsized(Vec<u8>),
    Status(u16),
}

/// A server that gives one reply after another, then the last reply again and again, and logs the ranges it is asked for.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl Server {
    fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/data/file.tar.gz?version=1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for (connection, at) in listener.incoming().zip(0..) {
                let Ok(mut connection) = connection else { return };
                let mut range = None;
                for line in BufReader::new(&connection).lines() {
                    let Ok(line) = line else { break };
                    if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
                        range = Some(value.to_owned());
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                log.lock().unwrap().push(range.clone());
                let head = |status: &str, length: usize| {
                    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n")
                };
                let (head, body) = match replies[replies.len().min(at + 1) - 1].clone() {
                    Reply::Whole(bytes) => (head("200 OK", bytes.len()), bytes),
                    Reply::Ranges(bytes) => {
                        let from: usize = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                        match bytes.get(from..).filter(|rest| !rest.is_empty()) {
                            Some(rest) => {
                                let (last, n) = (bytes.len() - 1, bytes.len());
                                let head = head("206 Partial Content", rest.len());
                                (format!("{head}Content-Range: bytes {from}-{last}/{n}\r\n"), rest.to_vec())
                            }
                            None => (head("416 Range Not Satisfiable", 0), Vec::new()),
                        }
                    }
                    Reply::Break(bytes, n) => (head("200 OK", bytes.len()), bytes[..n].to_vec()),
                    Reply::Unsized(bytes) => ("HTTP/1.1 200 OK\r\nConnection: close\r\n".to_owned(), bytes),
                    Reply::Status(status) => (head(&format!("{status} No"), 0), Vec::new()),
                };
                // The client may close the connection early.
                let _ =
                    connection.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| connection.write_all(&body));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Option<String>> {
        self.asked.lock().unwrap().clone()
    }
}

fn data() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(200_000).collect()
}

fn fetcher(url: &str, folder: &TempDir) -> Fetcher {
    let blake3 = blake3::hash(&data()).to_string();
    let spec = serde_json::json!({ "Url": { "url": "file:///x", "size": data().len(), "blake3": blake3 } });
    let (action, mut sources) = serde_json::from_value::<FetchSpec>(spec).unwrap().divide();
    // Set here, because some of the tests' URLs would be refused.
    sources.urls.insert(ARCHIVE.to_owned(), url.to_owned());
    Fetcher { action, sources, mirrors: Vec::new(), partial_dir: folder.path().join("partial") }
}

fn partial(fetcher: &Fetcher) -> PathBuf {
    fetcher.partial_dir.join(format!("{}.partial", blake3::hash(&data())))
}

fn run(fetcher: &Fetcher, host: &dyn Host) -> Result<Vec<u8>, StageError> {
    let slots = std::collections::BTreeMap::new();
    let objects = pipe_store::MemoryObjects::default();
    let context = Context { seed: 0, device: ComputeDevice::Cpu, host };
    let outputs = fetcher.run(&Inputs::new(&slots, &objects), &context)?;
    Ok(outputs.into_files().remove(ARCHIVE).unwrap())
}

fn check(replies: Vec<Reply>, kept: Option<&[u8]>, ranges: &[Option<&str>]) {
    let folder = TempDir::new().unwrap();
    let server = Server::start(replies);
    let fetcher = fetcher(&server.url, &folder);
    if let Some(bytes) = kept {
        fs::create_dir_all(&fetcher.partial_dir).unwrap();
        fs::write(partial(&fetcher), bytes).unwrap();
    }
    assert_eq!(run(&fetcher, &QuietHost).unwrap(), data());
    assert_eq!(server.asked(), ranges.iter().map(|range| range.map(str::to_owned)).collect::<Vec<_>>());
    assert!(!partial(&fetcher).exists());
}

/// Checks the error's text after the source, and the number of bytes that are kept.
fn check_error(replies: Vec<Reply>, expected: &str, requests: usize, kept: Option<usize>) {
    let folder = TempDir::new().unwrap();
    let server = Server::start(replies);
    let fetcher = fetcher(&server.url, &folder);
    let error = run(&fetcher, &QuietHost).unwrap_err();
    assert!(matches!(error, StageError::Environment { .. }));
    assert_eq!(error.to_string(), format!("`archive` cannot be fetched from `{}`: {expected}", server.url));
    assert_eq!(server.asked().len(), requests);
    assert_eq!(fs::metadata(partial(&fetcher)).ok().map(|file| file.len() as usize), kept);
}

#[test]
fn a_whole_answer_is_accepted() {
    check(vec![Reply::Whole(data())], None, &[None]);
    check(vec![Reply::Unsized(data())], None, &[None]);
}

#[test]
fn an_interrupted_download_continues_where_it_ended() {
    check(vec![Reply::Ranges(data())], Some(&data()[..70_000]), &[Some("70000-")]);
    let found = {
        let folder = TempDir::new().unwrap();
        let server = Server::start(vec![Reply::Break(data(), 150_000), Reply::Ranges(data())]);
        assert_eq!(run(&fetcher(&server.url, &folder), &QuietHost).unwrap(), data());
        server.asked()
    };
    assert_eq!(found, [None, Some("150000-".to_owned())]);
}

#[test]
fn a_server_without_ranges_is_read_from_the_start() {
    check(vec![Reply::Whole(data())], Some(&data()[..70_000]), &[Some("70000-")]);
    // What such a server sends replaces what was kept. If it is interrupted too, its part is kept.
    let replies = vec![Reply::Break(data(), 150_000), Reply::Ranges(data())];
    check(replies, Some(&data()[..70_000]), &[Some("70000-"), Some("150000-")]);
}

#[test]
fn a_kept_part_that_does_not_fit_is_dropped_once() {
    check(vec![Reply::Ranges(data()), Reply::Whole(data())], Some(&[7; 70_000]), &[Some("70000-"), None]);
    check(vec![Reply::Whole(data())], Some(&[7; 300_000]), &[None]);
    check(vec![Reply::Whole(data())], Some(&[7; 200_000]), &[None]);
    check(vec![Reply::Ranges(data()[..9].to_vec()), Reply::Whole(data())], Some(&data()[..10]), &[Some("10-"), None]);
}

#[test]
fn a_whole_download_that_was_kept_needs_no_request() {
    check(vec![Reply::Status(404)], Some(&data()), &[]);
}

#[test]
fn a_server_that_fails_once_is_asked_again() {
    check(vec![Reply::Status(503), Reply::Whole(data())], None, &[None, None]);
}

#[test]
fn the_error_names_the_server_and_its_answer() {
    check_error(vec![Reply::Status(404)], "the server answers 404 Not Found", 1, Some(0));
    check_error(vec![Reply::Status(500)], "the server answers 500 Internal Server Error (attempt 3)", 3, Some(0));
}

#[test]
fn the_error_for_wrong_bytes_has_both_digests() {
    let mut wrong = data();
    wrong[199_999] ^= 1;
    let (found, expected) = (blake3::hash(&wrong), blake3::hash(&data()));
    check_error(vec![Reply::Whole(wrong)], &format!("found blake3 {found}, expected {expected}"), 1, None);
}

#[test]
fn a_stream_longer_than_expected_is_cut_off() {
    let endless = vec![1; 3_000_000];
    check_error(vec![Reply::Unsized(endless)], "found more than the expected 200000 bytes", 1, None);
}

#[test]
fn answers_that_end_early_are_given_up_and_their_bytes_kept() {
    let short = data()[..1000].to_vec();
    let broken = vec![Reply::Whole(short.clone()), Reply::Status(503)];
    check_error(broken, "the server answers 503 Service Unavailable (attempt 4)", 4, Some(1000));
    check_error(vec![Reply::Ranges(short)], "found 1000 bytes, expected 200000", 4, None);
}

#[test]
fn an_interruption_keeps_what_came() {
    /// Interrupts after 100,000 bytes.
    struct Interrupter(AtomicBool, AtomicU64);
    impl Host for Interrupter {
        fn progress(&self, progress: &Progress) {
            assert_eq!((progress.total, progress.unit.as_str()), (200_000, "bytes"));
            self.1.store(progress.done, Ordering::Relaxed);
            self.0.store(progress.done > 100_000, Ordering::Relaxed);
        }
        fn checkpoint_due(&self) -> bool {
            false
        }
        fn interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
        fn latest_checkpoint(&self, _: u64) -> Option<Checkpoint> {
            None
        }
        fn save_checkpoint(&self, _: &Checkpoint) {}
    }
    let folder = TempDir::new().unwrap();
    let server = Server::start(vec![Reply::Ranges(data())]);
    let fetcher = fetcher(&server.url, &folder);
    let host = Interrupter(AtomicBool::new(false), AtomicU64::new(0));
    assert!(matches!(run(&fetcher, &host), Err(StageError::Interrupted)));
    assert_eq!(fs::metadata(partial(&fetcher)).unwrap().len(), host.1.load(Ordering::Relaxed));
    assert_eq!(run(&fetcher, &QuietHost).unwrap(), data());
    assert_eq!(server.asked()[1], Some(format!("{}-", host.1.load(Ordering::Relaxed))));
}

#[test]
fn a_file_url_may_have_escapes() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a file%.gz"), data()).unwrap();
    let base = format!("file://{}", folder.path().display());
    assert_eq!(run(&fetcher(&format!("{base}/a%20file%25.gz"), &folder), &QuietHost).unwrap(), data());
    let message = |url: &str| {
        let error = run(&fetcher(url, &folder), &QuietHost).unwrap_err().to_string();
        error.strip_prefix(&format!("`archive` cannot be fetched from `{url}`: ")).unwrap().to_owned()
    };
    assert_eq!(message(&format!("{base}/no.gz")), "there is no such file");
    assert_eq!(message("file://relative"), "a file URL has three slashes and an absolute path: file:///..");
    assert!(message(&base).ends_with("cannot be used"));
    fs::write(folder.path().join("long.gz"), vec![0; 200_001]).unwrap();
    assert_eq!(message(&format!("{base}/long.gz")), "found more than the expected 200000 bytes");
    fs::write(folder.path().join("short.gz"), b"abc").unwrap();
    assert_eq!(message(&format!("{base}/short.gz")), "found 3 bytes, expected 200000");
    assert!(!folder.path().join("partial").exists());
}

#[test]
fn mirrors_are_asked_first_by_name_then_by_digest() {
    let folder = TempDir::new().unwrap();
    let base = format!("file://{}", folder.path().display());
    let server = Server::start(vec![Reply::Status(404)]);
    let mut fetcher = fetcher(&server.url, &folder);
    fetcher.mirrors = [format!("{base}/nowhere"), format!("{base}/")].map(|base| base.parse().unwrap()).into();
    let by_digest = folder.path().join(blake3::hash(&data()).to_string());
    fs::write(&by_digest, data()).unwrap();
    assert_eq!(run(&fetcher, &QuietHost).unwrap(), data());
    fs::rename(&by_digest, folder.path().join("file.tar.gz")).unwrap();
    assert_eq!(run(&fetcher, &QuietHost).unwrap(), data());
    assert!(server.asked().is_empty());
}

#[test]
fn a_damaged_mirror_is_skipped_and_named_if_no_other_source_has_the_file() {
    let folder = TempDir::new().unwrap();
    let mirror = format!("file://{}", folder.path().display());
    fs::write(folder.path().join("file.tar.gz"), b"junk").unwrap();
    let good = Server::start(vec![Reply::Whole(data())]);
    let with_mirror = |url: &str| Fetcher { mirrors: vec![mirror.parse().unwrap()], ..fetcher(url, &folder) };
    assert_eq!(run(&with_mirror(&good.url), &QuietHost).unwrap(), data());
    let bad = Server::start(vec![Reply::Status(404)]);
    let error = run(&with_mirror(&bad.url), &QuietHost).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`archive` cannot be fetched from `{mirror}/file.tar.gz`: found 4 bytes, expected 200000; \
             from `{}`: the server answers 404 Not Found",
            bad.url
        )
    );
    let StageError::Environment { hint: Some(hint), .. } = error else { panic!("a hint") };
    assert!(hint.contains("nothing was stored"), "{hint}");
}

#[test]
fn an_unreachable_server_is_an_error_of_the_environment() {
    let folder = TempDir::new().unwrap();
    let error = run(&fetcher("http://127.0.0.1:1/x", &folder), &QuietHost).unwrap_err();
    assert!(matches!(error, StageError::Environment { .. }));
    assert!(error.to_string().ends_with("(attempt 3)"), "{error}");
}

#[test]
fn several_files_become_several_outputs() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).unwrap();
        let url = format!("file://{}/{name}", folder.path().display());
        serde_json::json!({ "name": name, "url": url, "size": bytes.len(), "blake3": blake3::hash(bytes).to_string() })
    };
    let spec = serde_json::json!({ "Files": [file("b", b"2"), file("a", b"1")] });
    let (action, sources) = serde_json::from_value::<FetchSpec>(spec).unwrap().divide();
    let slots = std::collections::BTreeMap::new();
    let objects = pipe_store::MemoryObjects::default();
    let context = Context { seed: 0, device: ComputeDevice::Cpu, host: &QuietHost };
    let inputs = Inputs::new(&slots, &objects);
    let bare = action.run(&inputs, &context).unwrap_err();
    assert_eq!(bare.to_string(), "no URL is known for `a`, `b`");
    let fetcher = Fetcher { action, sources, mirrors: Vec::new(), partial_dir: folder.path().join("partial") };
    let outputs = fetcher.run(&inputs, &context).unwrap();
    assert_eq!(outputs, Outputs::default().with("a", *b"1").with("b", *b"2"));
}
