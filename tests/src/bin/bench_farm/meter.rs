//! What processes use, as the system counts it.

use std::time::Instant;

const MIB: f64 = (1 << 20) as f64;
/// Ticks of a second in `/proc`: the same on every Linux.
const TICKS: f64 = 100.0;

/// The processor's time of a process, from here on.
pub struct Meter {
    pid: u32,
    name: String,
    from_secs: f64,
    since: Instant,
}

impl Meter {
    /// Of a process that runs.
    pub fn start(name: &str, pid: u32) -> Self {
        Self { pid, name: name.into(), from_secs: cpu_secs(pid), since: Instant::now() }
    }

    /// Seconds of a core that it has used since.
    pub fn secs(&self) -> f64 {
        cpu_secs(self.pid) - self.from_secs
    }

    /// Of a hundred of one core.
    pub fn percent(&self) -> f64 {
        100.0 * self.secs() / self.since.elapsed().as_secs_f64()
    }

    /// For people.
    pub fn words(&self) -> String {
        format!("{} {:.1} s", self.name, self.secs())
    }
}

/// What `/proc/PID/status` says in a line, in MiB: `VmRSS` is now, `VmHWM` at most so far.
pub fn mib(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    kib * 1024.0 / MIB
}

/// The bytes of a file, in MiB.
pub fn file_mib(path: &std::path::Path) -> f64 {
    path.metadata().map_or(0.0, |meta| meta.len() as f64 / MIB)
}

/// What the files of a folder take, in MiB.
pub fn folder_mib(path: &std::path::Path) -> f64 {
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    files.map(|file| file_mib(&file.path())).sum()
}

fn cpu_secs(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / TICKS
}
