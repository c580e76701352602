//! The server. One thread for each connection, and each connection has one request.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use pipe_engine::{
    study::{Found, StudyError},
    unfinished,
};
use pipe_store::Store;
use pipe_views::{ViewError, report, state::State};

use super::request::{COOKIE, Request};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");

/// The time between two looks at the store, for each page that is open.
const EVERY: Duration = Duration::from_secs(1);
/// After this time without news, a page is told that the server is still there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// How long a browser may take to ask, and to take what it asked for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most connections at once. Each page that is open holds one.
const MOST: usize = 64;

/// A server that shows the studies of a store on this machine.
pub(crate) struct Server {
    listener: TcpListener,
    shown: Arc<Shown>,
}

/// What is shown, and to whom.
struct Shown {
    /// The folder of the store, which may not be there yet.
    root: PathBuf,
    store: OnceLock<Store>,
    /// The study, or `None` for the one that was begun last.
    study: Option<String>,
    token: String,
    port: u16,
}

impl Server {
    /// Starts to listen on a port of 127.0.0.1. With port 0, the system chooses one.
    ///
    /// # Errors
    /// If the port is taken, or the system gives no random bytes for the token.
    pub(crate) fn start(root: PathBuf, study: Option<String>, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let mut random = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let token = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { listener, shown: Arc::new(Shown { root, store: OnceLock::new(), study, token, port }) })
    }

    /// Returns the address of the page, with the token.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.shown.port, self.shown.token)
    }

    /// Answers requests until the process ends.
    pub(crate) fn serve(&self) {
        let open = Arc::new(());
        for stream in self.listener.incoming().flatten() {
            if Arc::strong_count(&open) > MOST {
                continue;
            }
            let (shown, counted) = (self.shown.clone(), open.clone());
            // A thread that cannot be started leaves its connection unanswered. The browser asks again.
            let _ = thread::Builder::new().spawn(move || {
                // A browser that is gone is not told.
                drop(shown.answer(stream));
                drop(counted);
            });
        }
    }
}

impl Shown {
    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let Some(request) = Request::read(&mut stream)? else {
            return reply(&mut stream, "400 Bad Request", TEXT, "", b"this is not a request");
        };
        if !request.is_to_this_machine(self.port) || !request.has_token(&self.token) {
            let text = b"open the address that `pipe ui` has printed: it has a token";
            return reply(&mut stream, "403 Forbidden", TEXT, "", text);
        }
        if request.method != "GET" {
            return reply(&mut stream, "405 Method Not Allowed", TEXT, "Allow: GET\r\n", b"only GET");
        }
        let found = |found: Result<(&str, Vec<u8>), ViewError>, stream: &mut TcpStream| match found {
            Ok((kind, body)) => reply(stream, "200 OK", kind, "", &body),
            Err(error) => reply(stream, "404 Not Found", TEXT, "", error.to_string().as_bytes()),
        };
        match request.path.as_str() {
            "/" => {
                let cookie = format!("Set-Cookie: {COOKIE}={}; HttpOnly; SameSite=Strict; Path=/\r\n", self.token);
                // What there is now is in the page itself, so that it is not empty until the first event.
                let first = self.state().map(|state| String::from_utf8_lossy(&state).replace('<', "\\u003c"));
                let page = PAGE.replace("STATE", first.as_deref().unwrap_or("null"));
                reply(&mut stream, "200 OK", HTML, &cookie, page.as_bytes())
            }
            "/page.js" => reply(&mut stream, "200 OK", "text/javascript; charset=utf-8", "", SCRIPT.as_bytes()),
            "/style.css" => reply(&mut stream, "200 OK", "text/css; charset=utf-8", "", report::style().as_bytes()),
            "/state" => found(self.state().map(|state| (JSON, state)), &mut stream),
            "/events" => self.events(&mut stream),
            "/report" => {
                let html = self.found().and_then(|study| report::html(self.store()?, &study));
                found(html.map(|html| (HTML, html.into_bytes())), &mut stream)
            }
            "/logs" => found(self.log(request.field("node").unwrap_or_default()).map(|log| (TEXT, log)), &mut stream),
            _ => reply(&mut stream, "404 Not Found", TEXT, "", b"there is no such page"),
        }
    }

    /// Returns the store, if there is one by now. Looking makes none.
    fn store(&self) -> Result<&Store, ViewError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        if !self.root.join("format").exists() {
            return Err(StudyError::Empty.into());
        }
        let store = Store::open(&self.root)?;
        Ok(self.store.get_or_init(|| store))
    }

    fn found(&self) -> Result<Found, ViewError> {
        Ok(unfinished::find(self.store()?, self.study.as_deref())?)
    }

    fn state(&self) -> Result<Vec<u8>, ViewError> {
        let state = State::of(self.store()?, &self.found()?)?;
        Ok(serde_json::to_vec(&state).expect("a state is plain data"))
    }

    /// Sends the state now and whenever it is another one, until the browser goes.
    fn events(&self, stream: &mut TcpStream) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        let (mut last, mut told) = (Vec::new(), Instant::now());
        loop {
            let event = match self.state() {
                Ok(state) => [b"event: state\ndata: ".as_slice(), &state, b"\n\n"].concat(),
                // There may be none yet. A store that changes while it is read is whole again at the next look.
                Err(error) => {
                    format!("event: nothing\ndata: {}\n\n", serde_json::json!(error.to_string())).into_bytes()
                }
            };
            if event != last {
                stream.write_all(&event)?;
                (last, told) = (event, Instant::now());
            } else if told.elapsed() > SIGN_OF_LIFE {
                stream.write_all(b": still here\n\n")?;
                told = Instant::now();
            }
            thread::sleep(EVERY);
        }
    }

    /// Returns what a node has said: while its program runs what that says, otherwise the log of its latest execution.
    fn log(&self, node: &str) -> Result<Vec<u8>, ViewError> {
        let (store, found) = (self.store()?, self.found()?);
        let known = found.study.nodes.get(node).and_then(|node| node.key());
        let key = known.or_else(|| unfinished::key_of(store, &found, node));
        let log = key.map(|key| {
            let live = pipe_engine::run::program::live_log(store, &key);
            let kept = || store.log(&key).ok().flatten().map(|log| log.to_vec());
            live.or_else(kept).unwrap_or_default()
        });
        match log {
            None => Err(ViewError::Nothing(format!("`{node}` has not been executed"))),
            Some(log) if log.is_empty() => Ok(b"it has said nothing so far".to_vec()),
            Some(log) => Ok(log),
        }
    }
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Sends a whole answer. A page may load nothing from elsewhere, and nothing may frame it.
fn reply(stream: &mut TcpStream, status: &str, kind: &str, more: &str, body: &[u8]) -> io::Result<()> {
    let policy = "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; \
                  img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nContent-Security-Policy: {policy}\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n\
         Connection: close\r\n{more}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
