//! Nodes that are executed elsewhere: behind a launcher, and as jobs of a Slurm cluster. The cluster is a private one on this machine,
//! which the test starts. Where Slurm is not installed, another program plays its commands.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    kills::LONG,
    sandbox::{NODES, Sandbox, base, skipped, text},
};

/// Where the programs of Slurm are.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// A Slurm cluster of one machine with four processors, which ends with the test.
pub(crate) struct Cluster {
    folder: TempDir,
    daemons: Vec<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            drop(daemon.kill().and_then(|()| daemon.wait()));
        }
    }
}

impl Cluster {
    /// Starts a cluster. Without accounts, as many are. `None` if Slurm is not installed.
    pub(crate) fn start() -> Option<Self> {
        let programs = ["munged", "slurmctld", "slurmd", "sbatch"];
        let is_there = |name: &&str| PATH.split(':').any(|folder| Path::new(folder).join(name).exists());
        if let Some(missing) = programs.iter().find(|name| !is_there(name)) {
            skipped(&format!("Slurm is not installed: there is no `{missing}` (on Debian: slurm-wlm and munge)"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        ["munge", "state", "spool"].iter().for_each(|name| fs::create_dir(path(name)).unwrap());
        fs::set_permissions(path("munge"), fs::Permissions::from_mode(0o755)).unwrap();
        let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(1024).collect();
        fs::write(path("munge/key"), bytes).unwrap();
        fs::set_permissions(path("munge/key"), fs::Permissions::from_mode(0o400)).unwrap();
        let run = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).env("PATH", PATH).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let (host, user) = (run("hostname", &["-s"]), run("id", &["-un"]));
        let listeners = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [controller, node] = listeners.map(|listener| listener.local_addr().unwrap().port());
        let d = folder.path().display();
        let config = format!(
            "ClusterName=c{controller}\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser={user}\nSlurmdUser={user}\n\
             AuthType=auth/munge\nAuthInfo=socket={d}/munge/socket\nSlurmctldPort={controller}\nSlurmdPort={node}\n\
             StateSaveLocation={d}/state\nSlurmdSpoolDir={d}/spool\nSlurmctldPidFile={d}/slurmctld.pid\n\
             SlurmdPidFile={d}/slurmd.pid\nSlurmctldLogFile={d}/slurmctld.log\nSlurmdLogFile={d}/slurmd.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_CPU\nReturnToService=2\nSlurmdParameters=config_overrides\nKillWait=5\n\
             SchedulerParameters=sched_interval=1,sched_min_interval=1000,batch_sched_delay=0,default_queue_depth=1000,bf_interval=1\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=100000 State=UNKNOWN\n\
             PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP\n"
        );
        fs::write(path("slurm.conf"), config).unwrap();
        let mut cluster = Self { folder, daemons: Vec::new() };
        let (socket, key) = (cluster.path("munge/socket"), cluster.path("munge/key"));
        let munged = format!(
            "--foreground --force --socket={} --key-file={} --pid-file={d}/munge/pid --log-file={d}/munge/log --seed-file={d}/munge/seed",
            socket.display(),
            key.display(),
            d = cluster.folder.path().display(),
        );
        cluster.daemon("munged", &munged.split(' ').collect::<Vec<_>>());
        let is_up = |is_so: &dyn Fn() -> bool| {
            let since = Instant::now();
            while !is_so() && since.elapsed() < Duration::from_secs(60) {
                thread::sleep(Duration::from_millis(50));
            }
            is_so()
        };
        let listens = is_up(&|| socket.exists());
        cluster.start_controller();
        cluster.daemon("slurmd", &["-D"]);
        // Some machines let nobody start one: their name leads nowhere, or a container hides what it needs.
        if !listens || !is_up(&|| cluster.slurm("sinfo", "-h -o %T").contains("idle")) {
            let log = fs::read_to_string(cluster.path("slurmctld.log")).unwrap_or_default();
            skipped(&format!("a Slurm cluster cannot be started here: {}", log.lines().last().unwrap_or_default()));
            return None;
        }
        Some(cluster)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn daemon(&mut self, program: &str, args: &[&str]) {
        let mut command = Command::new(program);
        command.args(args).env("PATH", PATH).env("SLURM_CONF", self.path("slurm.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.daemons.push(command.spawn().unwrap());
    }

    fn start_controller(&mut self) {
        self.daemon("slurmctld", &["-D"]);
    }

    /// Kills the controller, at once.
    fn kill_controller(&mut self) {
        let mut controller = self.daemons.remove(1);
        controller.kill().unwrap();
        controller.wait().unwrap();
    }

    /// Runs a command of Slurm and returns what it says.
    fn slurm(&self, program: &str, args: &str) -> String {
        let mut command = Command::new(program);
        command.args(args.split_whitespace()).env("PATH", PATH).env("SLURM_CONF", self.path("slurm.conf"));
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Returns a command that runs the program, and knows the cluster.
    fn pipe(&self, sandbox: &Sandbox, args: &str) -> Command {
        let mut command = sandbox.command(args);
        command.env("PATH", PATH).env("SLURM_CONF", self.path("slurm.conf"));
        command
    }

    fn queue(&self) -> String {
        self.slurm("squeue", "-h")
    }
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(120), "{what}: it does not come");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Reads the events of a run until one is as wanted, and returns the reader.
fn read_until(child: &mut Child, wanted: impl Fn(&Value) -> bool) -> BufReader<std::process::ChildStdout> {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the run ended before");
        if wanted(&serde_json::from_str(&line).unwrap()) {
            return reader;
        }
    }
}

/// Waits for the end of a run, whose output nobody needs any more.
fn wait_for_end(mut run: Child, mut reader: BufReader<std::process::ChildStdout>) -> Option<i32> {
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    run.wait().unwrap().code()
}

#[test]
fn a_launcher_starts_the_workers_and_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("launch.sh", "echo \"$1 $2 $3\" >> launched\nshift 3\nexec \"$@\"\n");
    let mut command = sandbox.command("run --json --launcher");
    command.arg("sh launch.sh {threads} {memory} {node}").env("PATH", PATH);
    let events = sandbox.output(&mut command).events().ok();
    assert_eq!(events.hash(), base().hash);
    let launched = fs::read_to_string(sandbox.path("launched")).unwrap();
    // Proposals and downloads take no time, and need the network.
    assert!(launched.lines().any(|line| line.ends_with(" data")) && !launched.contains("propose"), "{launched}");
    assert!(launched.lines().all(|line| line.starts_with("1 ")), "{launched}");
    assert!(events.all.iter().any(|event| event["event"] == "placed" && event["host"].is_string()));
    let first = |kind: &str| events.all.iter().position(|event| event["event"] == kind && event["node"] == "data");
    assert!(first("queued") < first("start") && first("start") < first("placed"));
    // As one word, for a shell.
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("run --launcher");
    command.arg("sh -c {command}").env("PATH", PATH);
    assert!(sandbox.output(&mut command).ok().out.contains(&base().hash));
}

#[test]
fn a_launcher_that_is_none_is_refused_and_one_that_fails_is_told() {
    let sandbox = Sandbox::new();
    let said = |launcher: &str| {
        let mut command = sandbox.command("run --launcher");
        let output = sandbox.output(command.arg(launcher).env("PATH", PATH));
        (output.code, output.err)
    };
    let (code, err) = said("srun -c{cores}");
    assert_eq!(code, Some(2));
    assert!(
        err.contains("`{cores}` is no placeholder: there are {threads}, {memory} (in MiB), {gpus}, {node}"),
        "{err}"
    );
    let (code, err) = said("sh -c 'echo no machine is free >&2; exit 3'");
    assert_eq!(code, Some(1));
    assert!(err.contains("the worker ended without a result (exit status: 3)\n  | no machine is free"), "{err}");
    let (code, err) = said("no-such-launcher");
    assert_eq!(code, Some(1));
    assert!(err.contains("the worker did not start: No such file"), "{err}");
}

#[test]
fn a_worker_behind_a_launcher_ends_with_the_run() {
    let sandbox = Sandbox::with(LONG);
    let mut command = sandbox.command("run --json --checkpoint-every 0 --launcher");
    let mut run = command
        .args(["sh -c '\"$@\"; exit $?' sh"])
        .env("PATH", PATH)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let trains =
        |event: &Value| event["event"] == "progress" && event["node"] == "train" && event["done"].as_u64() > Some(16);
    let reader = read_until(&mut run, trains);
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    assert_eq!(wait_for_end(run, reader), Some(130));
    crate::kills::wait_until_alone(&sandbox);
    let mut run = sandbox
        .command("run --json --launcher nice")
        .env("PATH", PATH)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let reader = read_until(&mut run, trains);
    run.kill().unwrap();
    wait_for_end(run, reader);
    crate::kills::wait_until_alone(&sandbox);
    // Both went on from a checkpoint.
    let events = sandbox.run("").ok();
    assert!(events.first_progress("train").is_some_and(|(done, _)| done > 16));
}

#[test]
fn keys_of_a_plan_can_be_executed_by_hand() {
    let sandbox = Sandbox::new();
    let planned = || {
        let lines = sandbox.pipe("run --plan --json").would_run().events().all;
        let of = |node: &str| lines.iter().find(|line| line["node"] == node).unwrap()["action"].clone();
        (of("raw"), of("data"))
    };
    let (raw, data) = planned();
    assert_eq!(data, Value::Null);
    sandbox.pipe(&format!("exec {}", text(&raw))).ok();
    let (_, data) = planned();
    let data = text(&data);
    sandbox.pipe(&format!("exec --batch {data}")).ok();
    assert!(sandbox.stored("progress").len() == 1 && sandbox.stored("failures").is_empty());
    let events = sandbox.run("").ok();
    assert_eq!(events.hash(), base().hash);
    assert!(events.nodes("reused").contains("data") && !events.nodes("executed").contains("raw"));
    let unknown = "0".repeat(64);
    let output = sandbox.pipe(&format!("exec {unknown}"));
    assert_eq!(output.code, Some(1));
    assert!(
        output.err.contains("no action with the key")
            && output.err.contains("`pipe run --plan --json` stores the actions"),
        "{}",
        output.err
    );
}

#[test]
fn a_job_does_not_wait_for_another_one_and_notes_why_it_ends() {
    let sandbox = Sandbox::with(&LONG.replace("epochs: 60,", "epochs: 400,"));
    sandbox.run("--stage data").ok();
    let lines = sandbox.pipe("run --plan --json").would_run().events().all;
    let key = text(&lines.iter().find(|line| line["node"] == "train").unwrap()["action"]);
    let start = |args: &str| sandbox.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut job = start(&format!("exec --batch=b1 {key}"));
    let note = |folder: &str| fs::read_to_string(sandbox.path(format!(".pipe/{folder}/{key}"))).unwrap_or_default();
    wait_until("it notes progress", || note("progress").contains("\"batch\":\"b1\""));
    let second = sandbox.pipe(&format!("exec --batch=b2 {key}"));
    assert_eq!(second.code, Some(75), "{}", second.err);
    assert!(second.err.contains("another process executes this action"), "{}", second.err);
    assert!(
        note("failures").contains("\"end\":\"held\"") && note("failures").contains("\"batch\":\"b2\""),
        "{}",
        note("failures")
    );
    kill_process(Pid::from_child(&job), Signal::TERM).unwrap();
    assert_eq!(job.wait().unwrap().code(), Some(130));
    assert!(
        note("failures").contains("\"end\":\"interrupted\"") && note("failures").contains("\"batch\":\"b1\""),
        "{}",
        note("failures")
    );
    assert!(!sandbox.stored("checkpoints").is_empty());
    // What it waits for in the end is a result, and its notes are gone.
    sandbox.pipe(&format!("exec --batch=b3 {key}")).ok();
    assert!(sandbox.stored("failures").is_empty());
    sandbox.pipe("gc --grace 0s").ok();
    assert!(sandbox.stored("progress").is_empty());
}

/// Compiles a library that answers all attempts to lock a file like this.
fn without_locks(sandbox: &Sandbox, answer: &str) -> PathBuf {
    sandbox.write("flock.c", &format!("#include <errno.h>\nint flock(int file, int operation) {{ {answer} }}\n"));
    let library = sandbox.path("flock.so");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(sandbox.path("flock.c"));
    assert!(command.status().unwrap().success());
    library
}

#[test]
fn a_file_system_without_locks_gives_the_same_hash_and_gc_does_not_collect_beside_a_run() {
    let sandbox = Sandbox::new();
    let library = without_locks(&sandbox, "errno = ENOSYS; return -1;");
    let pipe = |args: &str| sandbox.output(sandbox.command(args).env("LD_PRELOAD", &library));
    let output = pipe("run");
    assert!(output.err.contains("this file system has no locks (Function not implemented"), "{}", output.err);
    assert!(output.ok().out.contains(&base().hash));
    pipe("gc --grace 0s").ok();
    sandbox.edit("seed: 7", "seed: 8");
    let mut run =
        sandbox.command("run").env("LD_PRELOAD", &library).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the run has a log", || !sandbox.stored("refs/runs").is_empty());
    run.kill().unwrap();
    run.wait().unwrap();
    insta::assert_snapshot!(without_warning(&pipe("gc --grace 0s").shown()), @r"
    ! error: a run of `tiny` is not finished, and whether it goes on elsewhere cannot be seen here: other machines do not see the locks of this store
    !   hint: finish it with `pipe run`, and collect then
    exit 1
    ");
    pipe("run").ok();
    pipe("gc --grace 0s").ok();
}

fn without_warning(shown: &str) -> String {
    shown.lines().filter(|line| !line.contains("WARN")).map(|line| line.to_owned() + "\n").collect()
}

/// Writes commands of Slurm that run jobs at once, one after the other, and know nothing about them afterwards.
fn write_commands(sandbox: &Sandbox, squeue: &str) -> String {
    fs::create_dir(sandbox.path("bin")).unwrap();
    let sbatch = "if [ \"$1\" = --version ]; then echo slurm 0; exit; fi\n\
        echo \"$@\" >> submitted\nid=$(wc -l < submitted)\n\
        for word; do case $word in --array=0-*) last=${word#--array=0-};; esac; done\n\
        cat > script.$id\n\
        for n in $(seq 0 $last); do SLURM_ARRAY_JOB_ID=$id SLURM_ARRAY_TASK_ID=$n SLURM_JOB_ID=$id sh script.$id; done > log.$id 2>&1 < /dev/null &\n\
        echo $id\n";
    for (name, script) in
        [("sbatch", sbatch), ("squeue", squeue), ("scontrol", "exit 1"), ("sacct", "exit 1"), ("scancel", "exit 0")]
    {
        let path = sandbox.path("bin").join(name);
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{PATH}", sandbox.path("bin").display())
}

#[test]
fn a_queue_that_lies_or_fails_makes_no_double_job_and_no_failure() {
    for squeue in ["exit 0", "echo error >&2; exit 1"] {
        let sandbox = Sandbox::new();
        let path = write_commands(&sandbox, squeue);
        let mut command =
            sandbox.command("run --json --executor slurm --pace 0.2,1 --partition long --extra=--qos=high");
        let events = sandbox.output(command.env("PATH", &path)).events().ok();
        assert_eq!(events.hash(), base().hash);
        let submitted = fs::read_to_string(sandbox.path("submitted")).unwrap();
        assert!(submitted.lines().all(|line| line.ends_with("--partition=long --qos=high")), "{submitted}");
        assert!(submitted.lines().all(|line| line.contains("--signal=B:TERM@60") && line.contains("--no-requeue")));
        // Each node was a job once.
        let jobs: usize = submitted
            .lines()
            .map(|line| {
                let last = line.split("--array=0-").nth(1).unwrap().split(' ').next().unwrap();
                last.parse::<usize>().unwrap() + 1
            })
            .sum();
        let elsewhere = events.all.iter().filter(|event| event["event"] == "queued").count();
        assert_eq!(jobs, elsewhere, "{submitted}");
        assert!(sandbox.stored("jobs").is_empty() && sandbox.stored("failures").is_empty());
        assert_eq!(text(&sandbox.json("show data --json")["provenance"]["job"]).split('_').count(), 2);
    }
}

#[test]
fn without_slurm_there_is_one_error() {
    let sandbox = Sandbox::new();
    let output = sandbox.output(sandbox.command("run --executor slurm").env("PATH", sandbox.path("")));
    insta::assert_snapshot!(output.shown(), @r"
    ! error: Slurm cannot be used: there is no `sbatch` on this machine
    !   hint: run `pipe` on a login node of the cluster, or leave out `--executor slurm`
    exit 2
    ");
    assert!(!sandbox.path(".pipe").exists());
}

#[test]
fn a_cluster_gives_the_same_hash_by_every_way() {
    let Some(mut cluster) = Cluster::start() else { return };
    // Behind `srun`, which is a job for each node.
    let sandbox = Sandbox::new();
    let mut command = cluster.pipe(&sandbox, "run --json --jobs 4 --launcher");
    command.arg("srun --exact -N1 -n1 -c{threads} --mem={memory}M --gpus={gpus} --unbuffered");
    let events = sandbox.output(&mut command).events().ok();
    assert_eq!(events.hash(), base().hash);
    assert!(events.all.iter().any(|event| event["event"] == "placed" && event["job"].is_string()));

    // As arrays of jobs.
    let sandbox = Sandbox::new();
    let mut command = cluster.pipe(&sandbox, "run --json --executor slurm --pace 2,60");
    let events = sandbox.output(&mut command).events().ok();
    assert_eq!((events.hash(), events.nodes("executed").len()), (base().hash.clone(), NODES));
    assert_eq!(cluster.queue(), "");

    // As a whole, within one job.
    let sandbox = Sandbox::new();
    let mut command = Command::new("srun");
    command.args(["-n1", "-c2", env!("CARGO_BIN_EXE_pipe"), "run"]).current_dir(sandbox.path("")).env_clear();
    command.env("PATH", PATH).env("SLURM_CONF", cluster.path("slurm.conf"));
    assert!(sandbox.output(&mut command).ok().out.contains(&base().hash));

    // A partition that there is not.
    let output = sandbox.output(&mut cluster.pipe(&sandbox, "run --set seed=9 --executor slurm --partition nowhere"));
    assert_eq!(output.code, Some(1));
    assert!(output.err.contains("Slurm refuses the job: invalid partition specified: nowhere"), "{}", output.err);

    // Longer than the time between two notes of a job.
    let long = LONG.replace("epochs: 60,", "epochs: 400,");
    let direct = Sandbox::with(&long).run("").ok().hash();
    let trains =
        |event: &Value| event["event"] == "progress" && event["node"] == "train" && event["done"].as_u64() > Some(0);
    let start = |cluster: &Cluster, sandbox: &Sandbox| {
        let mut command = cluster.pipe(sandbox, "run --json --executor slurm --pace 2,60 --checkpoint-every 0");
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };

    // The run is killed, and the next one takes over the job in the queue. Meanwhile the controller is killed, too.
    let sandbox = Sandbox::with(&long);
    let mut run = start(&cluster, &sandbox);
    let reader = read_until(&mut run, trains);
    let job = text(&serde_json::from_slice::<Value>(&note_of_train(&sandbox)).unwrap()["place"]["job"]);
    run.kill().unwrap();
    wait_for_end(run, reader);
    assert_ne!(cluster.queue(), "", "the job goes on without the run");
    let mut run = start(&cluster, &sandbox);
    let reader = read_until(&mut run, |event| event["event"] == "queued" && event["node"] == "train");
    cluster.kill_controller();
    thread::sleep(Duration::from_secs(1));
    cluster.start_controller();
    assert_eq!(wait_for_end(run, reader), Some(0));
    assert_eq!(sandbox.run("").ok().hash(), direct);
    assert_eq!(text(&sandbox.json("show train --json")["provenance"]["job"]), job);
    assert!(sandbox.stored("jobs").is_empty(), "{:?}", sandbox.stored("jobs"));

    // ^C: a checkpoint, and nothing is left.
    let sandbox = Sandbox::with(&long);
    let mut run = start(&cluster, &sandbox);
    let reader = read_until(&mut run, trains);
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    assert_eq!(wait_for_end(run, reader), Some(130));
    wait_until("the queue is empty", || cluster.queue().is_empty());
    assert!(sandbox.stored("jobs").is_empty(), "{:?}", sandbox.stored("jobs"));
    let events = sandbox.run("").ok();
    assert_eq!(events.hash(), direct);
    assert!(events.first_progress("train").is_some_and(|(done, _)| done > 0));
}

/// Returns what the job of the training notes. It is the only one that runs.
fn note_of_train(sandbox: &Sandbox) -> Vec<u8> {
    let notes = sandbox.stored("progress");
    let files: Vec<_> = notes.iter().map(|name| fs::read(sandbox.path(".pipe/progress").join(name)).unwrap()).collect();
    files
        .into_iter()
        .find(|note| String::from_utf8_lossy(note).contains("\"unit\":\"images\""))
        .expect("the training notes its progress")
}
