//! The processes of a program: all that it started, also those that left its process group or whose parent has ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, waitpid};

use super::environment::WORK;

/// How long processes are killed before it is given up. One that the kernel does not let go cannot be killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `/proc` says about a process.
struct Process {
    parent: i32,
    is_dead: bool,
}

/// Which processes belong to a program.
pub(super) struct Family<'a> {
    /// The working folder, which all have in their environment unless they removed it.
    pub(super) folder: &'a Path,
    /// The process group that the program was started in, if it was.
    pub(super) group: Option<Pid>,
    /// Whether every child of this process belongs to it, as in a worker.
    pub(super) is_only: bool,
}

impl Family<'_> {
    /// Sends a signal to the process group.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // There may be no process left.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Returns the memory that the processes hold together, in bytes. What several of them share counts once. `None` if there is no
    /// process, or the system does not tell.
    pub(super) fn memory(&self) -> Option<u64> {
        let members = self.members(&processes(), getpid().as_raw_pid());
        members.into_iter().filter_map(memory).reduce(u64::saturating_add)
    }

    /// Kills all processes, and returns when there are none, or `false` if some cannot be killed. The program itself must have been waited
    /// for.
    pub(super) fn end(&self) -> bool {
        let since = Instant::now();
        loop {
            self.signal(Signal::KILL);
            let living = self.kill_once();
            if living == 0 {
                return true;
            }
            if since.elapsed() > PATIENCE {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills each process that is there now, and takes leave of those that have ended. Returns the number of those that had not.
    fn kill_once(&self) -> usize {
        let all = processes();
        let this = getpid().as_raw_pid();
        let ours = self.members(&all, this);
        let mut living = 0;
        for pid in ours {
            let (Some(process), Some(id)) = (all.get(&pid), Pid::from_raw(pid)) else { continue };
            if !process.is_dead {
                living += 1;
                // It may have ended meanwhile.
                let _ = kill_process(id, Signal::KILL);
            }
            if process.parent == this {
                let _ = waitpid(Some(id), WaitOptions::NOHANG);
            }
        }
        living
    }

    fn members(&self, all: &BTreeMap<i32, Process>, this: i32) -> BTreeSet<i32> {
        let mut kept = BTreeSet::from([1]);
        let mut above = Some(this);
        while let Some(pid) = above.filter(|pid| kept.insert(*pid)) {
            above = all.get(&pid).map(|process| process.parent);
        }
        let marked = |pid: i32| has_variable(pid, self.folder);
        let roots = all.iter().filter(|(pid, process)| (self.is_only && process.parent == this) || marked(**pid));
        let mut members: BTreeSet<i32> = roots.map(|(pid, _)| *pid).filter(|pid| !kept.contains(pid)).collect();
        loop {
            let is_new =
                |(pid, process): &(&i32, &Process)| members.contains(&process.parent) && !members.contains(*pid);
            let more: Vec<_> =
                all.iter().filter(is_new).map(|(pid, _)| *pid).filter(|pid| !kept.contains(pid)).collect();
            if more.is_empty() {
                return members;
            }
            members.extend(more);
        }
    }
}

/// Returns the memory of a process, in bytes. Of what it shares with others it has its share.
fn memory(pid: i32) -> Option<u64> {
    let of = |file: &str, field: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let kib =
            text.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse::<u64>().ok()?;
        Some(kib << 10)
    };
    of("smaps_rollup", "Pss:").or_else(|| of("status", "VmRSS:"))
}

/// Returns whether a process has the working folder in its environment.
fn has_variable(pid: i32, folder: &Path) -> bool {
    // What belongs to other users, or has just ended, cannot be read.
    let Ok(variables) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let wanted = [WORK.as_bytes(), b"=", folder.as_os_str().as_bytes()].concat();
    variables.split(|byte| *byte == 0).any(|variable| variable == wanted)
}

/// Returns all processes that can be seen, by number.
fn processes() -> BTreeMap<i32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// Reads a line of `/proc/PID/stat`: `7 (name) S 3 ..`. A name may have any characters in it.
fn parse(line: &str) -> Option<Process> {
    let mut words = line.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?;
    Some(Process { parent: words.next()?.parse().ok()?, is_dead: ["Z", "X", "x"].contains(&state) })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_state_and_the_parent_are_read_after_any_name() {
        let process = parse("7 (a) S 9 (b)) Z 3 7 7 0").unwrap();
        assert_eq!((process.parent, process.is_dead), (3, true));
        assert!(parse("7 (a").is_none());
    }

    #[test]
    fn processes_with_the_variable_are_killed_and_no_others() {
        let start = |folder: &str| Command::new("/bin/sleep").arg("60").env(WORK, folder).spawn().unwrap();
        let (mut ours, mut other) = (start("/tmp/a b/ours"), start("/tmp/a b/ours2"));
        let family = Family { folder: Path::new("/tmp/a b/ours"), group: None, is_only: false };
        // It takes a moment until a process has its environment.
        while !has_variable(ours.id() as i32, family.folder) {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(family.memory().is_some_and(|memory| (10_000..100_000_000).contains(&memory)), "{:?}", family.memory());
        assert!(family.end());
        assert_eq!(family.memory(), None);
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        // It was waited for already.
        assert!(ours.wait().is_err() || ours.try_wait().unwrap().is_some());
    }
}
