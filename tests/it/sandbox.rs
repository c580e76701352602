//! A fresh folder with a pipeline file, to run the program in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::SystemTime,
};

use serde_json::Value;
use tempfile::TempDir;

/// A small study with every kind of stage, TPE from the third trial on, and trainings of a dozen steps. The documentation uses
/// it, too.
pub(crate) const TINY: &str = include_str!("../../docs/tiny.ron");

/// The number of nodes of [`TINY`].
pub(crate) const NODES: usize = 17;

/// A fresh folder, which is removed at the end.
pub(crate) struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// Returns a folder with [`TINY`] as its pipeline, and no store.
    pub(crate) fn new() -> Self {
        Self::with(TINY)
    }

    /// Returns a folder with this pipeline, and no store.
    pub(crate) fn with(pipeline: &str) -> Self {
        let sandbox = Self { folder: tempfile::tempdir().unwrap() };
        sandbox.write("pipeline.ron", pipeline);
        sandbox
    }

    /// Returns a folder in which [`TINY`] has been run.
    pub(crate) fn after_run() -> Self {
        let sandbox = Self::new();
        for (path, (mode, bytes)) in &base().files {
            let path = sandbox.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        sandbox
    }

    /// Writes `pictures/<class>/<number>.ppm`: 40 pictures of each of three classes, of different sizes and colours.
    pub(crate) fn write_pictures(&self) {
        let mut random = fastrand::Rng::with_seed(5);
        for (class, name) in ["circle", "square", "stripes"].into_iter().enumerate() {
            let folder = self.path("pictures").join(name);
            fs::create_dir_all(&folder).unwrap();
            for number in 0..40 {
                let (width, height) = (random.i32(30..60), random.i32(30..60));
                let [ground, shape] = [0, 130].map(|dark| [0; 3].map(|_: u8| dark + random.u8(..100)));
                let (x0, y0, r) = (width / 2 + random.i32(-4..4), height / 2 + random.i32(-4..4), random.i32(8..13));
                let is_inside = |x: i32, y: i32| match class {
                    0 => (x - x0).pow(2) + (y - y0).pow(2) < r * r,
                    1 => (x - x0).abs() < r && (y - y0).abs() < r,
                    _ => (x + y0) / 5 % 2 == 0,
                };
                let mut file = format!("P6 {width} {height} 255\n").into_bytes();
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    file.extend(if is_inside(x, y) { shape } else { ground });
                }
                fs::write(folder.join(format!("{number:02}.ppm")), file).unwrap();
            }
        }
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    /// Replaces `from` by `to` in the pipeline file.
    #[track_caller]
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("pipeline.ron")).unwrap();
        assert_eq!(text.matches(from).count(), 1, "`{from}` occurs once in the pipeline");
        self.write("pipeline.ron", &text.replace(from, to));
    }

    /// Returns a command that runs the program. The arguments are separated by white space.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipe"));
        // The environment is cleared, because it may contain PIPE_* or RUST_LOG.
        command.args(args.split_whitespace()).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// Runs the program and returns its output.
    pub(crate) fn pipe(&self, args: &str) -> Output {
        self.output(&mut self.command(args))
    }

    /// Runs a command and returns its output.
    pub(crate) fn output(&self, command: &mut Command) -> Output {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            // On macOS the path of temporary folders contains a symbolic link.
            let folder = self.folder.path().to_str().unwrap();
            String::from_utf8_lossy(&bytes).replace(&format!("/private{folder}"), "SANDBOX").replace(folder, "SANDBOX")
        };
        Output { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs `pipe run --json` with further arguments and returns its events.
    #[track_caller]
    pub(crate) fn run(&self, args: &str) -> Events {
        self.pipe(&format!("run --json {args}")).events()
    }

    /// Runs a command that must succeed, and returns its JSON.
    #[track_caller]
    pub(crate) fn json(&self, args: &str) -> Value {
        serde_json::from_str(&self.pipe(args).ok().out).unwrap()
    }

    /// Returns all files below the folder: path -> (time of modification, length).
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, (SystemTime, u64)> {
        let entry = |path: PathBuf| {
            let metadata = fs::symlink_metadata(&path).unwrap();
            (path, (metadata.modified().unwrap(), metadata.len()))
        };
        walk(self.folder.path()).into_iter().map(entry).collect()
    }

    /// Returns the files in a folder of the store, as paths relative to that folder.
    pub(crate) fn stored(&self, folder: &str) -> BTreeSet<PathBuf> {
        let folder = self.path(".pipe").join(folder);
        let files = walk(&folder).into_iter().filter(|path| path.is_file());
        files.map(|path| path.strip_prefix(&folder).unwrap().to_owned()).collect()
    }

    /// Returns the path of the file of an object.
    pub(crate) fn object(&self, digest: &str) -> PathBuf {
        let plain = self.path(format!(".pipe/objects/{}/{}", &digest[..2], &digest[2..]));
        let packed = plain.with_extension("zst");
        if packed.exists() { packed } else { plain }
    }

    /// Returns the digest of an output file of a node in the latest study.
    #[track_caller]
    pub(crate) fn digest(&self, node: &str, path: &str) -> String {
        let tree: Value = self.json(&format!("cat {}", text(&self.node(node)["tree"])));
        text(&tree["files"][path]["digest"])
    }

    /// Returns the output of `pipe show --json` for a node of the latest study.
    #[track_caller]
    pub(crate) fn node(&self, name: &str) -> Value {
        let study = self.json("show --json");
        let nodes = study["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["name"] == name).unwrap_or_else(|| panic!("there is a node `{name}`")).clone()
    }
}

/// Returns the files below a folder, with their bytes.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walk(folder).into_iter().filter(|path| path.is_file());
    files.map(|path| (path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

/// Says why a test does nothing here.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Returns the text of a JSON string.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is a string")).to_owned()
}

/// Returns names as a set.
pub(crate) fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Returns the paths of all files below a folder, or none if the folder does not exist.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(walk(&path));
        }
        paths.push(path);
    }
    paths
}

/// The output and the exit code of a command.
pub(crate) struct Output {
    /// None if a signal ended the command.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Output {
    /// Returns the output. Panics if the command failed.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    /// Returns the output of `run --plan`. Panics if it failed, or says that nothing would run.
    #[track_caller]
    pub(crate) fn would_run(self) -> Self {
        assert_eq!(self.code, Some(10), "{}{}", self.out, self.err);
        self
    }

    /// Returns the output for comparison with a snapshot. Lines of standard output begin with two spaces, those of standard error
    /// with `! `, and the last line is the exit code. Digests, times and the folder are replaced.
    pub(crate) fn shown(&self) -> String {
        let part = |name: &str, text: &str| {
            let text = filtered(text);
            text.lines().map(|line| format!("{name} {line}").trim_end().to_owned() + "\n").collect::<String>()
        };
        format!("{}{}exit {}\n", part(" ", &self.out), part("!", &self.err), self.code.unwrap_or(-1))
    }

    /// Returns the events of `run --json`.
    #[track_caller]
    pub(crate) fn events(self) -> Events {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        Events { all: self.out.lines().map(parse).collect(), code: self.code, err: self.err }
    }
}

/// Returns text with digests (64 or 12 hexadecimal digits) and times replaced.
pub(crate) fn filtered(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        let is_hex = word.bytes().all(|b| b.is_ascii_hexdigit());
        let (shown, length) = match word.len() {
            64 if is_hex => ("DIGEST", 64),
            12 if is_hex => ("SHORT", 12),
            0 => ("", 0),
            n => (&rest[..n], n),
        };
        result += shown;
        if length == 0 {
            result.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            rest = &rest[length..];
        }
    }
    without_times(&result)
}

/// Returns text with `12 ms`, `1.2 s` and `1m 02s` replaced by `TIME`, and `2026-11-25 14:40:14 UTC` by `MOMENT`.
fn without_times(text: &str) -> String {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let line = |line: &str| {
        // What is free on the disk is another number at each time.
        let free = line.strip_suffix(" are free").and_then(|line| line.rsplit_once(", "));
        if let Some((before, _)) = free {
            return format!("{before}, SIZE are free");
        }
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut i = 0;
        while i + 1 < words.len() {
            let minutes = words[i].strip_suffix('m').is_some_and(is_number)
                && words[i + 1].strip_suffix('s').is_some_and(is_number);
            let is_like = |word: Option<&String>, form: &str| {
                let same = |(c, like): (char, char)| if like == '0' { c.is_ascii_digit() } else { c == like };
                word.is_some_and(|word| word.len() == form.len() && word.chars().zip(form.chars()).all(same))
            };
            if is_like(words.get(i), "0000-00-00") && is_like(words.get(i + 1), "00:00:00") {
                words.splice(i..(i + 3).min(words.len()), ["MOMENT".to_owned()]);
                continue;
            }
            if is_number(&words[i]) && ["ms", "s"].contains(&words[i + 1].as_str()) || minutes {
                words.splice(i..i + 2, ["TIME".to_owned()]);
            }
            i += 1;
        }
        words.join(" ")
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The events of `pipe run --json`.
pub(crate) struct Events {
    pub(crate) all: Vec<Value>,
    pub(crate) code: Option<i32>,
    pub(crate) err: String,
}

impl Events {
    /// Returns the events. Panics if the run failed.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{:?}", self.err, self.all.last());
        self
    }

    /// Returns the last event, which is about the study.
    #[track_caller]
    pub(crate) fn study(&self) -> &Value {
        let last = self.all.last().unwrap_or_else(|| panic!("there are events: {}", self.err));
        assert_eq!(last["event"], "study", "{last}\n{}", self.err);
        last
    }

    /// Returns the study hash.
    #[track_caller]
    pub(crate) fn hash(&self) -> String {
        text(&self.study()["study"])
    }

    /// Returns the nodes with the outcome `how`: `executed`, `reused`, `failed` or `skipped`.
    pub(crate) fn nodes(&self, how: &str) -> BTreeSet<String> {
        self.of("node").filter(|event| event["how"] == how).map(|event| text(&event["node"])).collect()
    }

    /// Returns the reason in the event of a node.
    #[track_caller]
    pub(crate) fn why(&self, node: &str) -> String {
        let event = self.of("node").find(|event| event["node"] == node);
        text(&event.unwrap_or_else(|| panic!("`{node}` is in the run"))["why"])
    }

    /// Returns the first progress of a node, (done, total), which shows where its work began.
    pub(crate) fn first_progress(&self, node: &str) -> Option<(u64, u64)> {
        let event = self.of("progress").find(|event| event["node"] == node)?;
        Some((event["done"].as_u64()?, event["total"].as_u64()?))
    }

    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.all.iter().filter(move |event| event["event"] == kind)
    }
}

/// The files and the hash that a run of [`TINY`] gives. The run is shared by all tests.
pub(crate) struct Base {
    pub(crate) hash: String,
    /// path -> (mode, bytes)
    files: BTreeMap<PathBuf, (u32, Vec<u8>)>,
}

pub(crate) fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let sandbox = Sandbox::new();
        let hash = sandbox.run("").ok().hash();
        let folder = sandbox.folder.path();
        let file = |path: PathBuf| {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            let bytes = fs::read(&path).unwrap();
            (path.strip_prefix(folder).unwrap().to_owned(), (mode, bytes))
        };
        let files = walk(&sandbox.path(".pipe")).into_iter().filter(|path| path.is_file()).map(file).collect();
        Base { hash, files }
    })
}
