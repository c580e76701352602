//! The cores and the memory that this process may use: those of the machine, within the limits of CPU affinity, control
//! groups (of a container or systemd) and Slurm. Nothing here affects a key.

use std::{
    env, fs,
    path::{Component, Path, PathBuf},
    thread,
};

/// Returns the number of cores that this process may use, at least 1.
pub fn cores() -> usize {
    // The standard library respects affinity and the CPU quotas of control groups.
    Limits::of_this_process().cores(thread::available_parallelism().map_or(1, usize::from))
}

/// Returns the memory that is free for this process, in bytes, if it is known.
pub fn free_memory() -> Option<u64> {
    Limits::of_this_process().free_memory()
}

/// The sources of limits.
struct Limits<'a> {
    /// The folder with `proc` and `sys`.
    root: &'a Path,
    /// Reads an environment variable.
    variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Limits<'static> {
    fn of_this_process() -> Self {
        Self { root: Path::new("/"), variable: &|name| env::var(name).ok() }
    }
}

impl Limits<'_> {
    /// Returns the part of `cores` that Slurm grants. On clusters that do not pin jobs to cores, only Slurm's variables say so.
    fn cores(&self, cores: usize) -> usize {
        let granted = self.number("SLURM_CPUS_PER_TASK").or_else(|| self.number("SLURM_CPUS_ON_NODE"));
        granted.and_then(|granted| usize::try_from(granted).ok()).map_or(cores, |granted| cores.min(granted)).max(1)
    }

    fn free_memory(&self) -> Option<u64> {
        let groups = self.control_groups().into_iter().filter_map(|group| group.free());
        groups.chain(self.free_on_machine()).chain(self.granted_by_slurm()).min()
    }

    /// Returns the memory in bytes that the machine can give without swapping.
    fn free_on_machine(&self) -> Option<u64> {
        let kib = field(&self.root.join("proc/meminfo"), "MemAvailable:")?;
        Some(kib * 1024)
    }

    /// Returns the memory in bytes that Slurm granted to this job. `None` also if Slurm says 0, which means no limit.
    fn granted_by_slurm(&self) -> Option<u64> {
        let per_cpu = || Some(self.number("SLURM_MEM_PER_CPU")?.saturating_mul(self.number("SLURM_CPUS_ON_NODE")?));
        let mib = self.number("SLURM_MEM_PER_NODE").or_else(per_cpu)?;
        (mib > 0).then_some(mib.saturating_mul(1 << 20))
    }

    /// Returns the control groups that this process is in, and those around them. A limit on any of them applies.
    fn control_groups(&self) -> Vec<ControlGroup> {
        let text = fs::read_to_string(self.root.join("proc/self/cgroup")).unwrap_or_default();
        let mounts = self.root.join("sys/fs/cgroup");
        let mut groups = Vec::new();
        for line in text.lines() {
            // `0::/path` in version 2, `4:memory:/path` in version 1.
            let mut parts = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
            let (version, mount) = match controllers {
                "" => (Version::Two, mounts.clone()),
                some if some.split(',').any(|name| name == "memory") => (Version::One, mounts.join("memory")),
                _ => continue,
            };
            let path: PathBuf =
                Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).collect();
            groups.extend(path.ancestors().map(|part| ControlGroup { version, folder: mount.join(part) }));
        }
        groups
    }

    fn number(&self, name: &str) -> Option<u64> {
        (self.variable)(name)?.trim().parse().ok()
    }
}

/// A control group. Its folder may be missing, because a container does not see the groups around it.
struct ControlGroup {
    version: Version,
    folder: PathBuf,
}

/// The two versions of control groups, which differ in the names of files.
#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

impl ControlGroup {
    /// Returns the memory in bytes that is free in the group, if it has a limit.
    fn free(&self) -> Option<u64> {
        let (limit, usage, cache) = match self.version {
            Version::One => {
                ("memory.limit_in_bytes", "memory.usage_in_bytes", ["total_active_file", "total_inactive_file"])
            }
            Version::Two => ("memory.max", "memory.current", ["active_file", "inactive_file"]),
        };
        let number = |name: &str| fs::read_to_string(self.folder.join(name)).ok()?.trim().parse::<u64>().ok();
        // `max` means no limit, and does not parse as a number.
        let limit = number(limit)?;
        // Cached files count as used, but are dropped when memory is needed.
        let cached: u64 = cache.iter().filter_map(|name| field(&self.folder.join("memory.stat"), name)).sum();
        Some(limit.saturating_sub(number(usage)?.saturating_sub(cached)))
    }
}

/// Returns the number after `name` in a file with lines of the form `name number`.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// Returns the free memory in GiB of a machine with 64 GiB, these files and these variables.
    fn free(files: &[(&str, &str)], variables: &[(&str, &str)]) -> f64 {
        let root = tempfile::tempdir().unwrap();
        let meminfo = ("proc/meminfo", "MemTotal:       99999999 kB\nMemAvailable:   67108864 kB\n");
        for (path, text) in files.iter().chain([&meminfo]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let limits = Limits { root: root.path(), variable: &|name| find(variables, name) };
        limits.free_memory().unwrap() as f64 / GIB as f64
    }

    fn find(variables: &[(&str, &str)], name: &str) -> Option<String> {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn a_machine_without_limits_gives_what_it_has() {
        assert_eq!(free(&[], &[]), 64.0);
        let unlimited = [
            ("proc/self/cgroup", "0::/user.slice\n"),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
            ("sys/fs/cgroup/user.slice/memory.current", "1073741824\n"),
        ];
        assert_eq!(free(&unlimited, &[]), 64.0);
    }

    #[test]
    fn a_container_may_use_what_its_group_leaves() {
        let files = [
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "8589934592\n"),
            ("sys/fs/cgroup/memory.current", "3221225472\n"),
            // 1 GiB of it is cached files, which are dropped when memory is needed.
            ("sys/fs/cgroup/memory.stat", "anon 2147483648\nactive_file 805306368\ninactive_file 268435456\n"),
        ];
        assert_eq!(free(&files, &[]), 6.0);
    }

    #[test]
    fn the_limit_of_an_outer_group_holds() {
        // As Slurm does it: the task has no limit, but its job has one.
        let files = [
            ("proc/self/cgroup", "0::/system.slice/job_7/step_0/task_0\n"),
            ("sys/fs/cgroup/system.slice/job_7/step_0/task_0/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/job_7/memory.max", "8589934592\n"),
            ("sys/fs/cgroup/system.slice/job_7/memory.current", "1073741824\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "34359738368\n"),
            ("sys/fs/cgroup/system.slice/memory.current", "30064771072\n"),
        ];
        assert_eq!(free(&files[..4], &[]), 7.0);
        assert_eq!(free(&files, &[]), 4.0);
    }

    #[test]
    fn version_1_of_control_groups_is_supported() {
        let files = [
            // A container sees the names of groups outside it, but not their folders.
            ("proc/self/cgroup", "5:cpu,cpuacct:/docker/ab\n4:hugetlb,memory:/docker/ab\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "8589934592\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "4294967296\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 1073741824\n"),
        ];
        assert_eq!(free(&files, &[]), 5.0);
    }

    #[test]
    fn a_job_of_slurm_has_what_it_was_granted() {
        assert_eq!(free(&[], &[("SLURM_MEM_PER_NODE", "8192")]), 8.0);
        assert_eq!(free(&[], &[("SLURM_MEM_PER_CPU", "2048"), ("SLURM_CPUS_ON_NODE", "2")]), 4.0);
        assert_eq!(free(&[], &[("SLURM_MEM_PER_NODE", "0")]), 64.0);
    }

    #[test]
    fn a_job_of_slurm_has_the_cores_it_was_granted() {
        let cores = |variables: &[(&str, &str)]| {
            Limits { root: Path::new("/nowhere"), variable: &|name| find(variables, name) }.cores(64)
        };
        assert_eq!(cores(&[]), 64);
        assert_eq!(cores(&[("SLURM_CPUS_ON_NODE", "2")]), 2);
        assert_eq!(cores(&[("SLURM_CPUS_ON_NODE", "8"), ("SLURM_CPUS_PER_TASK", "4")]), 4);
        assert_eq!(cores(&[("SLURM_CPUS_ON_NODE", "128")]), 64);
        assert_eq!(cores(&[("SLURM_CPUS_ON_NODE", "many"), ("SLURM_CPUS_PER_TASK", "0")]), 1);
    }
}
