//! Servers of object storage that the tests start on this machine: SeaweedFS, which speaks S3, and Azurite, which speaks Azure's
//! protocol. Where they are not installed, their tests say so and do nothing. `.ci/run` says how to get them.

use std::{
    env,
    fs::{self, File},
    io::Write,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::sandbox::skipped;

/// A server, which is stopped at the end.
pub(crate) struct Server {
    child: Child,
    _folder: TempDir,
    /// Where a remote may be.
    url: String,
    /// The environment with which it is reached by someone who may write.
    pub(crate) env: Vec<(&'static str, String)>,
}

impl Server {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is the test's own, and nothing that it keeps is needed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the program that a variable names, or that is called `name` in `PATH`.
fn program(variable: &str, name: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file());
    let path = env::var_os("PATH").unwrap_or_default();
    named.or_else(|| env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file()))
}

/// Returns the first of `count` ports in a row that are free, and of which the ports 10,000 above are, too.
fn free_ports(count: u16) -> u16 {
    let mut random = fastrand::Rng::new();
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let are_free = |first: &u16| (*first..first + count).all(|port| is_free(port) && is_free(port + 10_000));
    (0..1000).map(|_| random.u16(12_000..22_000)).find(are_free).expect("there are free ports")
}

fn wait_for(port: u16, child: &mut Child) {
    let since = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "the server ended");
        assert!(since.elapsed() < Duration::from_secs(120), "the server does not answer");
        thread::sleep(Duration::from_millis(50));
    }
}

fn start(command: &mut Command, folder: &TempDir) -> Child {
    let log = File::create(folder.path().join("server.log")).unwrap();
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}

/// The users of SeaweedFS: one may do everything, the other may read.
const USERS: &str = r#"{"identities": [
    {"name": "ci", "credentials": [{"accessKey": "ci", "secretKey": "ci-secret"}], "actions": ["Admin", "Read", "Write", "List"]},
    {"name": "ro", "credentials": [{"accessKey": "ro", "secretKey": "ro-secret"}], "actions": ["Read", "List"]}
]}"#;

/// Returns the environment of a user of SeaweedFS.
pub(crate) fn user(server: &Server, key: &str, secret: &str) -> Vec<(&'static str, String)> {
    let endpoint = server.env.iter().find(|(name, _)| *name == "AWS_ENDPOINT_URL").unwrap().1.clone();
    let [key, secret] = [key, secret].map(str::to_owned);
    vec![("AWS_ENDPOINT_URL", endpoint), ("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)]
}

/// Starts SeaweedFS with a bucket.
pub(crate) fn seaweedfs() -> Option<Server> {
    let Some(weed) = program("PIPE_TEST_WEED", "weed") else {
        skipped("there is no SeaweedFS (`weed`)");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users.json"), USERS).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let port = free_ports(5);
    let mut command = Command::new(&weed);
    command.args(["mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.config=users.json"]);
    command.args(["-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
    let ports = ["master", "volume", "filer", "s3", "admin"].into_iter().zip(port..);
    command.args(ports.map(|(part, port)| format!("-{part}.port={port}")));
    let mut child = start(&mut command, &folder);
    wait_for(port + 3, &mut child);
    let env = vec![
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", port + 3)),
        ("AWS_ACCESS_KEY_ID", "ci".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "ci-secret".to_owned()),
    ];
    let server = Server { child, _folder: folder, url: "s3://pipe/studies".to_owned(), env };
    // Its parts are not ready at the same time.
    let since = Instant::now();
    loop {
        let mut shell = Command::new(&weed);
        shell.args(["shell", &format!("-master=127.0.0.1:{port}")]).current_dir(server._folder.path());
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(b"s3.bucket.create -name pipe\n").unwrap();
        let output = shell.wait_with_output().unwrap();
        if String::from_utf8_lossy(&output.stdout).contains("created bucket pipe") {
            return Some(server);
        }
        assert!(since.elapsed() < Duration::from_secs(120), "no bucket could be created");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Starts a web server for the files in a folder.
pub(crate) fn web_server(files: &Path) -> Option<Server> {
    let Some(python) = program("PIPE_TEST_PYTHON", "python3") else {
        skipped("there is no python3");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports(1);
    let mut command = Command::new(python);
    command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(files).arg(port.to_string());
    let mut child = start(&mut command, &folder);
    wait_for(port, &mut child);
    Some(Server { child, _folder: folder, url: format!("http://127.0.0.1:{port}/"), env: Vec::new() })
}

/// The account and the key that every Azurite has.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Creates a container: a request that must be signed.
const CREATE: &str = r#"
import base64, email.utils, hashlib, hmac, sys, urllib.request
endpoint, account, key, name = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:2021-08-06\n/{account}/{account}/{name}\nrestype:container"
sign = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Authorization": f"SharedKey {account}:{sign}"}
urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}?restype=container", method="PUT", headers=headers))
"#;

/// Starts Azurite with a container.
pub(crate) fn azurite() -> Option<Server> {
    let (azurite, python) = (program("PIPE_TEST_AZURITE", "azurite-blob"), program("PIPE_TEST_PYTHON", "python3"));
    let (Some(azurite), Some(python)) = (azurite, python) else {
        skipped("there is no Azurite (`azurite-blob`), or no python3");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = free_ports(1);
    let mut command = Command::new(azurite);
    command.args(["--disableTelemetry", "--skipApiVersionCheck", "--silent", "--blobHost", "127.0.0.1", "--blobPort"]);
    command.arg(port.to_string());
    let mut child = start(&mut command, &folder);
    wait_for(port, &mut child);
    let endpoint = format!("http://127.0.0.1:{port}/{ACCOUNT}");
    let env = vec![
        ("AZURE_STORAGE_ENDPOINT", endpoint.clone()),
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
    ];
    let server = Server { child, _folder: folder, url: "az://pipe/studies".to_owned(), env };
    let created = Command::new(python).args(["-c", CREATE, &endpoint, ACCOUNT, KEY, "pipe"]).status().unwrap();
    assert!(created.success(), "no container could be created");
    Some(server)
}
