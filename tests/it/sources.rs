//! Where data come from: folders and files of this disk, and downloads whose sizes and digests are not known yet.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::sandbox::Sandbox;

/// Returns a folder with a study in `study/` and pictures beside it.
fn with_folder() -> Sandbox {
    let sandbox = Sandbox::with("");
    for (path, bytes) in [("cat/1", "one"), ("cat/2", "two"), ("dog/1", "three")] {
        let path = sandbox.path(format!("pictures/{path}.jpg"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::create_dir(sandbox.path("study")).unwrap();
    let stages = r#"("raw", Fetch(Folder("../pictures"))), ("labels", Fetch(File("labels.csv")))"#;
    sandbox.write("study/pipeline.ron", &format!("Study(name: \"t\", stages: [{stages}])"));
    sandbox.write("study/labels.csv", "a,b\n");
    sandbox
}

const FILE: &str = "--file study/pipeline.ron";

#[test]
fn a_folder_is_stored_and_what_changes_in_it_is_told() {
    let sandbox = with_folder();
    let plan = sandbox.pipe(&format!("run --plan {FILE}"));
    assert_eq!(plan.code, Some(10), "{}", plan.err);
    assert!(!sandbox.path("study/.pipe").exists(), "a look makes no store");
    let first = sandbox.run(FILE).ok();
    assert_eq!(first.nodes("executed").len(), 2);
    assert_eq!(sandbox.pipe(&format!("cat raw/files/dog/1.jpg {FILE}")).ok().out, "three");
    assert_eq!(sandbox.pipe(&format!("cat labels/archive {FILE}")).ok().out, "a,b\n");
    assert_eq!(sandbox.run(FILE).ok().nodes("reused").len(), 2);
    let objects = sandbox.pipe(&format!("run --locked {FILE}"));
    assert_eq!(objects.code, Some(0), "{}", objects.err);

    let before = sandbox.pipe(&format!("verify --json {FILE}")).ok().out;
    sandbox.write("pictures/cat/3.jpg", "new");
    sandbox.write("pictures/cat/1.jpg", "other");
    fs::remove_file(sandbox.path("pictures/dog/1.jpg")).unwrap();
    let why = sandbox.pipe(&format!("why raw {FILE}")).ok().out;
    assert_eq!(why, "raw would run: 1 file is new, 1 changed, 1 gone: cat/1.jpg, cat/3.jpg, dog/1.jpg\n");
    assert_eq!(sandbox.run(FILE).ok().nodes("executed").len(), 1);
    let check = sandbox.pipe(&format!("run --check {FILE}"));
    assert_eq!(check.code, Some(0), "{}", check.err);
    assert_ne!(sandbox.pipe(&format!("verify --json {FILE}")).ok().out, before);
    let then = sandbox.pipe(&format!("why raw --study t {FILE}")).ok().out;
    assert!(then.contains("1 file is new, 1 changed, 1 gone"), "{then}");
}

#[test]
fn the_study_is_the_same_wherever_the_folder_is() {
    let [one, other] = [with_folder(), with_folder()];
    fs::rename(other.path("pictures"), other.path("elsewhere")).unwrap();
    let text = fs::read_to_string(other.path("study/pipeline.ron")).unwrap();
    other.write("study/pipeline.ron", &text.replace("../pictures", other.path("elsewhere").to_str().unwrap()));
    assert_eq!(one.run(FILE).ok().hash(), other.run(FILE).ok().hash());
}

#[test]
fn a_folder_that_holds_the_pipeline_is_not_changed_by_a_run() {
    let sandbox = Sandbox::with(r#"Study(name: "t", stages: [("raw", Fetch(Folder(".")))])"#);
    sandbox.write("1.jpg", "one");
    let first = sandbox.run("").ok().hash();
    let again = sandbox.run("").ok();
    assert_eq!((again.hash(), again.nodes("reused").len()), (first, 1));
}

#[test]
fn a_folder_that_is_not_there_is_told_at_its_place() {
    let sandbox = with_folder();
    fs::rename(sandbox.path("pictures"), sandbox.path("gone")).unwrap();
    let refused = sandbox.pipe(&format!("run {FILE}"));
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("`../pictures` is not there"), "{}", refused.err);
    assert!(refused.err.contains("study/pipeline.ron:1:"), "{}", refused.err);
}

#[test]
fn an_execution_without_the_pipeline_knows_no_folder() {
    let sandbox = with_folder();
    sandbox.run(FILE).ok();
    let node = sandbox.json(&format!("show raw --json {FILE}"));
    let key = node["key"].as_str().unwrap();
    let fresh = sandbox.pipe(&format!("exec {key} --fresh --store study/.pipe"));
    assert_eq!(fresh.code, Some(1));
    assert!(fresh.err.contains("no folder is known"), "{}", fresh.err);
}

/// Serves `bytes` under every path, and counts the requests.
fn serve(bytes: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/data.bin", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            for line in BufReader::new(&connection).lines() {
                if line.is_ok_and(|line| !line.is_empty()) {
                    continue;
                }
                break;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", bytes.len());
            // The client may be gone.
            let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(bytes));
        }
    });
    (url, count)
}

#[test]
fn what_is_not_known_of_a_download_is_shown_to_be_pasted_and_not_fetched_again() {
    let (url, count) = serve(b"abc");
    let fields = "size: 3, sha256: \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"";
    let text = |more: &str| format!("Study(name: \"t\", stages: [(\"raw\", Fetch(Url(url: \"{url}\"{more})))])");
    let sandbox = Sandbox::with(&text(""));
    let plan = sandbox.pipe("run --plan");
    assert_eq!((plan.code, count.load(Ordering::SeqCst)), (Some(2), 0), "a look downloads nothing");
    assert!(plan.err.contains(&format!("`pipe digest '{url}'`")), "{}", plan.err);
    let run = sandbox.pipe("run");
    assert_eq!((run.code, count.load(Ordering::SeqCst)), (Some(2), 1), "{}", run.err);
    // The place is that of the address, after 'Study(name: "t", stages: [("raw", Fetch(Url(url: '.
    assert!(run.err.contains("pipeline.ron:1:50") && run.err.contains(&format!("paste: {fields}")), "{}", run.err);
    sandbox.write("pipeline.ron", &text(&format!(", {fields}")));
    sandbox.run("").ok();
    assert_eq!(count.load(Ordering::SeqCst), 1, "it was kept");
    assert_eq!(sandbox.pipe("cat raw/archive").ok().out, "abc");
    assert_eq!(sandbox.pipe(&format!("digest {url}")).ok().out, format!("{fields}\n"));
}

#[test]
fn digests_are_printed_as_they_are_pasted() {
    let sandbox = with_folder();
    let fields = "size: 3, sha256: \"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed\"";
    assert_eq!(sandbox.pipe("digest pictures/cat/1.jpg").ok().out, format!("{fields}\n"));
    let two = sandbox.pipe("digest pictures/cat/1.jpg pictures").ok().out;
    let lines: Vec<_> = two.lines().collect();
    assert_eq!(lines[0], format!("{fields}  // pictures/cat/1.jpg"));
    assert!(lines[1].starts_with("listing: \"") && lines[1].ends_with("\", 3 files, 11 bytes  // pictures"), "{two}");
    let json: serde_json::Value = serde_json::from_str(&sandbox.pipe("digest --json pictures").ok().out).unwrap();
    assert_eq!((&json["kind"], &json["files"], &json["bytes"]), (&"folder".into(), &3.into(), &11.into()));
    let failed = sandbox.pipe("digest no pictures/cat/1.jpg");
    assert_eq!((failed.code, failed.out), (Some(1), format!("{fields}  // pictures/cat/1.jpg\n")));
    assert!(failed.err.contains("`no` is not there"), "{}", failed.err);
    sandbox.run(FILE).ok();
    let listing = sandbox.json(&format!("show raw --json {FILE}"));
    assert!(listing.to_string().contains(json["listing"].as_str().unwrap()), "{listing}");
}
