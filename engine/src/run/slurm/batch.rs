//! A batch: jobs of equal resources that are put into the queue together, as an array.

use std::path::Path;

use pipe_store::ActionKey;

/// What a job of a batch executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BatchJob {
    /// The key of the action.
    pub(super) key: ActionKey,
    /// How its program is run, if it runs one, as JSON.
    pub(super) how: Option<String>,
    /// Whether it is executed although its result is known.
    pub(super) fresh: bool,
}

/// Returns the lines that say what the jobs of a batch execute: the key, `fresh` or nothing, and how, with tabs between them.
pub(super) fn lines(jobs: &[BatchJob]) -> String {
    let line = |job: &BatchJob| {
        let fresh = if job.fresh { "--fresh" } else { "" };
        format!("{}\t{fresh}\t{}\n", job.key, job.how.as_deref().unwrap_or_default())
    };
    jobs.iter().map(line).collect()
}

/// Returns the keys that lines of a batch say. A line that is not one has none.
pub(super) fn keys(lines: &[u8]) -> Vec<Option<ActionKey>> {
    let text = String::from_utf8_lossy(lines);
    text.lines().map(|line| line.split('\t').next()?.parse().ok().map(ActionKey)).collect()
}

/// How a worker is started.
pub(super) struct Worker<'a> {
    pub(super) program: &'a Path,
    pub(super) store: &'a Path,
    pub(super) threads: usize,
    pub(super) checkpoint_every: f64,
    pub(super) log_level: &'a str,
}

/// Returns the script of a batch whose lines are in the file `lines`.
pub(super) fn script(batch: &str, lines: &Path, worker: &Worker<'_>) -> String {
    let quote = |path: &Path| quoted(&path.to_string_lossy());
    let Worker { program, store, threads, checkpoint_every, log_level } = worker;
    format!(
        "#!/bin/sh\n\
         # A job of `pipe run`: executes one line of the file.\n\
         export RUST_LOG=\"${{RUST_LOG:-{log_level}}}\"\n\
         line=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" {})\n\
         tab=$(printf '\\t')\n\
         key=${{line%%\"$tab\"*}}\n\
         rest=${{line#*\"$tab\"}}\n\
         fresh=${{rest%%\"$tab\"*}}\n\
         how=${{rest#*\"$tab\"}}\n\
         # The signals of Slurm reach the shell of the script, so the worker takes its place.\n\
         exec {} exec \"$key\" --batch={} --store {} --threads {threads} --checkpoint-every {checkpoint_every} $fresh ${{how:+--how \"$how\"}}\n",
        quote(lines),
        quote(program),
        quoted(batch),
        quote(store),
    )
}

fn quoted(word: &str) -> String {
    shlex::try_quote(word).expect("a path has no zero byte").into_owned()
}

/// Returns a path in which Slurm fills in nothing but the index of the job, which replaces `index`.
pub(super) fn log_pattern(path: &Path, index: &str) -> String {
    let text = path.to_string_lossy();
    match text.rsplit_once(index) {
        Some((before, after)) => format!("{}%a{}", before.replace('%', "%%"), after.replace('%', "%%")),
        None => text.replace('%', "%%"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use pipe_store::Digest;

    use super::*;

    #[test]
    fn a_job_executes_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's a 'folder'.keys");
        let how = r#"{"pass_env":["A B"],"project":"/it's"}"#;
        let job = |text: &str, how: Option<&str>, fresh| BatchJob {
            key: ActionKey(Digest::of(text.as_bytes())),
            how: how.map(str::to_owned),
            fresh,
        };
        let jobs = [job("a", None, false), job("b", Some(how), true), job("c", Some(how), false), job("d", None, true)];
        fs::write(&path, lines(&jobs)).unwrap();
        assert_eq!(keys(lines(&jobs).as_bytes()), jobs.each_ref().map(|job| Some(job.key)));
        let store = folder.path().join("a store");
        let worker = Worker {
            program: Path::new("/bin/echo"),
            store: &store,
            threads: 2,
            checkpoint_every: 0.5,
            log_level: "warn",
        };
        let script = script("18f-a", &path, &worker);
        for (index, (job, more)) in
            jobs.iter().zip(["", &format!(" --fresh --how {how}"), &format!(" --how {how}"), " --fresh"]).enumerate()
        {
            let said = Command::new("sh")
                .args(["-c", &script])
                .env("SLURM_ARRAY_TASK_ID", index.to_string())
                .output()
                .unwrap();
            let expected = format!(
                "exec {} --batch=18f-a --store {} --threads 2 --checkpoint-every 0.5{more}\n",
                job.key,
                store.display()
            );
            assert_eq!(String::from_utf8(said.stdout).unwrap(), expected);
        }
    }

    #[test]
    fn slurm_fills_in_nothing_of_the_path() {
        assert_eq!(log_pattern(Path::new("/50%/b%j/x.INDEX.log"), "INDEX"), "/50%%/b%%j/x.%a.log");
    }
}
