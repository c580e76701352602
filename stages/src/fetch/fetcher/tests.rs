//! Tests of downloads from a tiny server, mirrors and files.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::{
    fetch::{ARCHIVE, FetchSpec, Measured, Sources, measure, proxy::Proxies},
    stage::{ComputeDevice, QuietHost},
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
    /// This status with these further lines, and these bytes.
    With(&'static str, String, Vec<u8>),
    /// As `Break` if asked for the whole file, otherwise 206 and the rest. The file has this validator.
    Tagged(&'static str, Vec<u8>, usize),
}

/// A server that gives one reply after another, then the last reply again and again, and logs the ranges it is asked for.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Option<String>>>>,
    /// The lines of the requests.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/data/file.tar.gz?version=1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&heard);
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
                    lines.lock().unwrap().push(line);
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
                    Reply::With(status, lines, bytes) => (head(status, bytes.len()) + &lines, bytes),
                    Reply::Tagged(tag, bytes, n) => {
                        let tag = format!("ETag: {tag}\r\n");
                        match range.map(|range| range.trim_end_matches('-').parse::<usize>().unwrap()) {
                            None => (head("200 OK", bytes.len()) + &tag, bytes[..n].to_vec()),
                            Some(from) => {
                                let range =
                                    format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
                                (
                                    head("206 Partial Content", bytes.len() - from) + &tag + &range,
                                    bytes[from..].to_vec(),
                                )
                            }
                        }
                    }
                    Reply::Status(status) => (head(&format!("{status} No"), 0), Vec::new()),
                };
                // The client may close the connection early.
                let _ =
                    connection.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| connection.write_all(&body));
            }
        });
        Self { url, asked, heard }
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
    Fetcher { action, sources, mirrors: Vec::new(), partial_dir: folder.path().join("partial"), network: network() }
}

/// Returns a network without proxies, in which waiting takes no time.
fn network() -> Network {
    Network::with(Proxies::default(), |_| ())
}

/// Returns a network like [`network`], and the time that was waited in it.
fn timed_network() -> (Network, Arc<Mutex<Duration>>) {
    let waited = Arc::new(Mutex::new(Duration::ZERO));
    let clock = Arc::clone(&waited);
    (Network::with(Proxies::default(), move |time| *clock.lock().unwrap() += time), waited)
}

/// Returns the network with these variables.
fn network_with(variable: &'static str, value: String) -> Network {
    Network::with(Proxies::of(&|name| (name == variable).then(|| value.clone())), |_| ())
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    crate::fetch::verify::hex(Sha256::new_with_prefix(bytes))
}

fn partial(fetcher: &Fetcher) -> PathBuf {
    fetcher.partial_dir.join(format!("{}.partial", blake3::hash(&data())))
}

fn run(fetcher: &Fetcher, host: &dyn Host) -> Result<Vec<u8>, StageError> {
    let slots = std::collections::BTreeMap::new();
    let objects = pipe_store::MemoryObjects::default();
    let context = Context { seed: 0, device: ComputeDevice::CPU, host };
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
fn a_whole_answer_of_another_length_is_wrong_once_with_both_sizes_and_its_digest() {
    let wrong =
        |bytes: &[u8]| format!("found {} bytes with sha256 {}, expected 200000 bytes", bytes.len(), sha256(bytes));
    for bytes in [data()[..1000].to_vec(), vec![1; 3_000_000]] {
        check_error(vec![Reply::Whole(bytes.clone())], &wrong(&bytes), 1, None);
        check_error(vec![Reply::Ranges(bytes.clone())], &wrong(&bytes), 1, None);
    }
    let long = vec![1; 3_000_000];
    check_error(vec![Reply::Unsized(long.clone())], &wrong(&long), 1, None);
    // Without a length, the first end may be that of the connection.
    let short = data()[..1000].to_vec();
    check_error(vec![Reply::Unsized(short.clone())], &wrong(&short), 2, None);
}

#[test]
fn an_endless_stream_is_cut_off() {
    let endless = vec![1; (65 << 20) + 200_000];
    check_error(vec![Reply::Unsized(endless)], "found more than the expected 200000 bytes", 1, None);
}

#[test]
fn a_page_instead_of_the_file_is_shown() {
    let page = b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>".to_vec();
    let found = format!(
        "found an HTML page of {} bytes that begins `<!DOCTYPE html> <html><title>Sign in</title></html>`, expected 200000 bytes",
        page.len()
    );
    check_error(vec![Reply::Whole(page)], &found, 1, None);
}

#[test]
fn what_the_server_compressed_unasked_is_decompressed() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&data()).unwrap();
    let compressed = encoder.finish().unwrap();
    check(vec![Reply::With("200 OK", "Content-Encoding: gzip\r\n".to_owned(), compressed)], None, &[None, None]);
    // A server may call an archive compressed that is meant as it is.
    check(vec![Reply::With("200 OK", "Content-Encoding: gzip\r\n".to_owned(), data())], None, &[None]);
}

#[test]
fn a_busy_server_is_given_the_time_that_it_asks_for() {
    let after = |status, value: &str| Reply::With(status, format!("Retry-After: {value}\r\n"), Vec::new());
    let wait = |replies: Vec<Reply>| {
        let folder = TempDir::new().unwrap();
        let server = Server::start(replies);
        let (network, waited) = timed_network();
        let fetcher = Fetcher { network, ..fetcher(&server.url, &folder) };
        let result = run(&fetcher, &QuietHost).map_err(|error| {
            let text = error.to_string();
            text.strip_prefix(&format!("`archive` cannot be fetched from `{}`: ", server.url)).unwrap().to_owned()
        });
        (result.map(|bytes| assert_eq!(bytes, data())), *waited.lock().unwrap(), server.asked().len())
    };
    let seconds = Duration::from_secs;
    let busy = after("429 Too Many Requests", "5");
    assert_eq!(wait(vec![busy.clone(), busy, Reply::Whole(data())]), (Ok(()), seconds(10), 3));
    let date = "Wed, 21 Oct 2015 07:28:30 GMT\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT";
    assert_eq!(wait(vec![after("503 No", date), Reply::Whole(data())]), (Ok(()), seconds(30), 2));
    let later: Vec<_> = vec![Reply::Status(503), Reply::Status(502), Reply::Status(504), Reply::Whole(data())];
    assert_eq!(wait(later), (Ok(()), seconds(1 + 2 + 4), 4));
    let never = "the server answers 503 Service Unavailable, after 9 min of waiting (attempt 15)";
    assert_eq!(wait(vec![Reply::Status(503)]), (Err(never.to_owned()), seconds(63 + 8 * 60), 15));
    let tomorrow = "the server answers 429 Too Many Requests and asks to wait 24 h (attempt 1)";
    assert_eq!(wait(vec![after("429 No", "86400")]), (Err(tomorrow.to_owned()), seconds(0), 1));
}

#[test]
fn an_interruption_ends_the_wait() {
    /// Interrupts when something was waited for.
    struct Stop(Arc<AtomicBool>);
    impl Host for Stop {
        fn progress(&self, _: &Progress) {}
        fn interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }
    let folder = TempDir::new().unwrap();
    let server = Server::start(vec![Reply::Status(503)]);
    let (stop, pauses) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (flag, count) = (Arc::clone(&stop), Arc::clone(&pauses));
    let network = Network::with(Proxies::default(), move |_| {
        flag.store(true, Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
    });
    let fetcher = Fetcher { network, ..fetcher(&server.url, &folder) };
    assert!(matches!(run(&fetcher, &Stop(stop)), Err(StageError::Interrupted)));
    assert_eq!((server.asked().len(), pauses.load(Ordering::Relaxed)), (1, 1));
}

#[test]
fn redirections_are_followed() {
    let goal = Server::start(vec![Reply::Whole(data())]);
    let from = Server::start(vec![
        Reply::With("302 Found", "Location: /other\r\n".to_owned(), Vec::new()),
        Reply::With("307 Temporary Redirect", format!("Location: {}\r\n", goal.url), Vec::new()),
    ]);
    let folder = TempDir::new().unwrap();
    assert_eq!(run(&fetcher(&from.url, &folder), &QuietHost).unwrap(), data());
    assert!(from.heard.lock().unwrap().contains(&"GET /other HTTP/1.1".to_owned()));
    let circle = vec![Reply::With("302 Found", "Location: /again\r\n".to_owned(), Vec::new())];
    check_error(circle, "more than 10 redirections", 11, Some(0));
    let elsewhere = vec![Reply::With("302 Found", "Location: ftp://x/y\r\n".to_owned(), Vec::new())];
    check_error(elsewhere, "it redirects to `ftp://x/y`", 1, Some(0));
}

#[test]
fn a_proxy_is_asked_for_the_whole_address_and_for_a_connection_only_by_https() {
    let folder = TempDir::new().unwrap();
    let through = |variable, proxy: &Server, url: &str| {
        let address = proxy.url.trim_start_matches("http://").split('/').next().unwrap();
        let network = network_with(variable, format!("http://me:p%40ss@{address}"));
        (run(&Fetcher { network, ..fetcher(url, &folder) }, &QuietHost), address.to_owned())
    };
    let proxy = Server::start(vec![Reply::Whole(data())]);
    assert_eq!(through("http_proxy", &proxy, "http://nowhere.invalid:81/a%20b?c").0.unwrap(), data());
    let heard = proxy.heard.lock().unwrap().join("\n");
    assert!(heard.starts_with("GET http://nowhere.invalid:81/a%20b?c HTTP/1.1\n"), "{heard}");
    assert!(heard.to_lowercase().contains("\nhost: nowhere.invalid:81\n"), "{heard}");
    assert!(heard.to_lowercase().contains("proxy-authorization: basic bwu6cebzcw=="), "{heard}");
    let proxy = Server::start(vec![Reply::Status(403)]);
    let (refused, address) = through("https_proxy", &proxy, "https://nowhere.invalid/x");
    let text = refused.unwrap_err().to_string();
    assert!(text.contains(&format!("proxy http://{address}: ")) && text.contains("403"), "{text}");
    assert!(proxy.heard.lock().unwrap()[0].starts_with("CONNECT nowhere.invalid:443 "));
}

#[test]
fn a_proxy_that_does_not_work_is_named() {
    let folder = TempDir::new().unwrap();
    for (variable, url) in [("HTTP_PROXY", "http://nowhere.invalid/x"), ("all_proxy", "https://nowhere.invalid/x")] {
        let network = network_with(variable, "http://me:secret@127.0.0.1:1".to_owned());
        let error = run(&Fetcher { network, ..fetcher(url, &folder) }, &QuietHost).unwrap_err().to_string();
        assert!(error.ends_with("proxy http://127.0.0.1:1: connection refused (attempt 3)"), "{error}");
    }
    let network = network_with("ALL_PROXY", "socks5://127.0.0.1:1".to_owned());
    let error = run(&Fetcher { network, ..fetcher("http://127.0.0.1:1/x", &folder) }, &QuietHost).unwrap_err();
    assert!(error.to_string().contains("SOCKS proxies are not supported"), "{error}");
}

#[test]
fn a_file_of_which_nothing_is_known_is_measured_and_kept_for_the_fetch() {
    let folder = TempDir::new().unwrap();
    let sources = Sources { partial_dir: &folder.path().join("partial"), network: &network(), host: &QuietHost };
    let measured = |replies: Vec<Reply>, requests: usize| {
        let server = Server::start(replies);
        let measured = measure(&server.url, &sources);
        assert_eq!(server.asked().len(), requests, "{measured:?}");
        measured
    };
    let whole = || Ok(Measured { size: 200_000, sha256: sha256(&data()) });
    assert_eq!(measured(vec![Reply::Whole(data())], 1), whole());
    assert_eq!(measured(vec![Reply::Unsized(data())], 1), whole());
    assert_eq!(whole().unwrap().fields(), format!("size: 200000, sha256: \"{}\"", sha256(&data())));
    // What broke off continues only if the file is known to be the same.
    assert_eq!(measured(vec![Reply::Break(data(), 150_000), Reply::Whole(data())], 2), whole());
    let tagged = Reply::Tagged("\"v1\"", data(), 150_000);
    let server = Server::start(vec![tagged]);
    assert_eq!(measure(&server.url, &sources), whole());
    assert_eq!(server.asked(), [None, Some("150000-".to_owned())]);
    assert!(server.heard.lock().unwrap().iter().any(|line| line.eq_ignore_ascii_case("if-range: \"v1\"")));
    // The fetch needs no request.
    let server = Server::start(vec![Reply::Status(404)]);
    let mut known = fetcher(&server.url, &folder);
    let FetchAction::Files(files) = &mut known.action else { panic!("it fetches a file") };
    files[0].sha256 = Some(sha256(&data()));
    assert_eq!(run(&known, &QuietHost).unwrap(), data());
    assert!(server.asked().is_empty());

    let page = b"<html>Please sign in</html>".to_vec();
    let error = measured(vec![Reply::Whole(page)], 1).unwrap_err();
    assert!(error.contains("an HTML page that begins `<html>Please sign in</html>`"), "{error}");
    assert_eq!(measured(vec![Reply::Status(404)], 1).unwrap_err(), "the server answers 404 Not Found");
    assert_eq!(measure("ftp://x", &sources).unwrap_err(), "allowed are https://.., http://.. and file://..");
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
        fn interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
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
    let wrong =
        |bytes: &[u8]| format!("found {} bytes with sha256 {}, expected 200000 bytes", bytes.len(), sha256(bytes));
    assert_eq!(message(&format!("{base}/long.gz")), wrong(&[0; 200_001]));
    fs::write(folder.path().join("short.gz"), b"abc").unwrap();
    assert_eq!(message(&format!("{base}/short.gz")), wrong(b"abc"));
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
            "`archive` cannot be fetched from `{mirror}/file.tar.gz`: found 4 bytes with sha256 {}, expected 200000 bytes; \
             from `{}`: the server answers 404 Not Found",
            sha256(b"junk"),
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
    assert!(error.to_string().ends_with("connection refused (attempt 3)"), "{error}");
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
    let context = Context { seed: 0, device: ComputeDevice::CPU, host: &QuietHost };
    let inputs = Inputs::new(&slots, &objects);
    let bare = action.run(&inputs, &context).unwrap_err();
    assert_eq!(bare.to_string(), "no URL is known for `a`, `b`");
    let partial_dir = folder.path().join("partial");
    let fetcher = Fetcher { action, sources, mirrors: Vec::new(), partial_dir, network: network() };
    let outputs = fetcher.run(&inputs, &context).unwrap();
    assert_eq!(outputs, Outputs::default().with("a", *b"1").with("b", *b"2"));
}
