//! How much memory a build takes: of all processes below the daemon's process that serves its connection, looked at from
//! time to time. Short builds are not looked at.
//!
//! It does not know what they run, nor whose they are. Each is counted by its own high-water mark, so that what many need
//! one after the other in processes of their own, and what they share, makes it too much rather than too little.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often it is looked at. What takes no longer is not worth it.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The most processes of one build that are counted.
const MAX_PROCESSES: usize = 10_000;

/// The most that was seen so far, in KiB.
#[derive(Debug, Default)]
pub struct PeakMemory(AtomicU64);

impl PeakMemory {
    /// In MiB; `None` where nothing was seen.
    pub fn mib(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed).div_ceil(1024)).filter(|mib| *mib > 0)
    }

    /// Looks at what runs below a process, for ever.
    pub async fn follow(&self, worker: Option<u32>) -> Infallible {
        let Some(worker) = worker else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let seen = tokio::task::spawn_blocking(move || Processes::of_this_machine().high_water_kib_below(worker)).await;
            self.0.fetch_max(seen.unwrap_or_default(), Ordering::Relaxed);
        }
    }
}

/// Processes, as `proc(5)` shows them.
#[derive(Debug)]
struct Processes(PathBuf);

impl Processes {
    fn of_this_machine() -> Self {
        Self("/proc".into())
    }

    fn high_water_kib_below(&self, pid: u32) -> u64 {
        let (mut kib, mut seen, mut left) = (0, HashSet::new(), self.children(pid));
        while let Some(pid) = left.pop() {
            if seen.len() < MAX_PROCESSES && seen.insert(pid) {
                kib += self.high_water_kib(pid).unwrap_or_default();
                left.extend(self.children(pid));
            }
        }
        kib
    }

    /// Of all its threads. What is gone has none.
    fn children(&self, pid: u32) -> Vec<u32> {
        let threads = fs::read_dir(self.0.join(format!("{pid}/task"))).into_iter().flatten().flatten();
        let told = threads.flat_map(|thread| fs::read_to_string(thread.path().join("children")));
        told.flat_map(|told| told.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect()
    }

    fn high_water_kib(&self, pid: u32) -> Option<u64> {
        let status = fs::read_to_string(self.0.join(format!("{pid}/status"))).ok()?;
        let told = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        told.trim().strip_suffix(" kB")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Makes a process with one thread for each list of children.
    fn process(proc: &Path, pid: u32, status: &str, threads: &[&str]) {
        for (n, children) in threads.iter().enumerate() {
            let thread = proc.join(format!("{pid}/task/{}", pid as usize + n));
            fs::create_dir_all(&thread).unwrap();
            fs::write(thread.join("children"), children).unwrap();
        }
        fs::write(proc.join(format!("{pid}/status")), status).unwrap();
    }

    fn below(proc: &Path, pid: u32) -> u64 {
        Processes(proc.into()).high_water_kib_below(pid)
    }

    #[test]
    fn all_below_a_process_count_by_their_high_water_and_it_does_not() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path(), 1, "Name:\tdaemon\nVmHWM:\t  7 kB\n", &["", "100 200 "]);
        process(proc.path(), 100, "Name:\tsh\nVmHWM:\t    1000 kB\nVmRSS:\t 10 kB\n", &["300 400"]);
        process(proc.path(), 200, "VmHWM:\t 20000 kB\n", &[""]);
        process(proc.path(), 300, "VmHWM:\t 300000 kB\n", &[""]);
        process(proc.path(), 500, "VmHWM:\t 5000000 kB\n", &[""]);
        assert_eq!(below(proc.path(), 1), 321_000);
    }

    #[test]
    fn what_is_gone_or_odd_counts_nothing_and_nothing_counts_twice() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path(), 1, "", &["2 2 3 x"]);
        process(proc.path(), 2, "VmHWM:\t 10 kB\n", &["1 2"]);
        process(proc.path(), 3, "VmHWM:\t much\n", &["4"]);
        assert_eq!(below(proc.path(), 1), 10);
        assert_eq!(below(proc.path(), 9), 0);
    }

    #[test]
    fn a_real_process_is_seen_below_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let seen = Processes::of_this_machine().high_water_kib_below(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_build_that_is_over_before_somebody_looked_has_no_peak() {
        let peak = PeakMemory::default();
        let short = tokio::time::timeout(LOOK_EVERY / 2, peak.follow(Some(std::process::id()))).await;
        assert!(short.is_err() && peak.mib().is_none());
        let unseen = tokio::time::timeout(LOOK_EVERY * 2, peak.follow(None)).await;
        assert!(unseen.is_err() && peak.mib().is_none());
    }
}
