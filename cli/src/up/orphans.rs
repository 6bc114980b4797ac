//! Finds what an earlier `drover up` on the same folder left behind when it was killed, and ends it.
//!
//! A pid file may be old, and its number another process's by now: a process is only ended if its command line names the
//! farm's folder and it says so itself in `/proc`. It knows nothing of what the processes are.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long to wait for a killed process to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Ends the processes that the pid files in `run` name, if they are this farm's; returns their names.
pub(crate) fn end(run: &Path, farm: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(run) else { return Vec::new() };
    let mut ended = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "pid") {
            continue;
        }
        if let Some(pid) = read_pid(&path).filter(|pid| belongs_to(*pid, farm)) {
            end_one(pid);
            ended.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
        let _ = std::fs::remove_file(&path);
    }
    ended
}

fn read_pid(path: &Path) -> Option<Pid> {
    let pid: i32 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    (pid > 1).then(|| Pid::from_raw(pid))
}

/// Whether an argument of the process lies in the farm's folder.
fn belongs_to(pid: Pid, farm: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut inside = farm.as_os_str().as_bytes().to_vec();
    inside.push(b'/');
    line.split(|byte| *byte == 0).any(|argument| argument.windows(inside.len()).any(|window| window == inside))
}

fn end_one(pid: Pid) {
    let _ = kill(pid, Signal::SIGKILL);
    let since = Instant::now();
    while kill(pid, None).is_ok() && !is_zombie(pid) && since.elapsed() < GONE_WITHIN {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process with this among its arguments, which waits for its input to end.
    fn waiting(mark: &str) -> Child {
        let child = Command::new("/bin/sh").args(["-c", "read line", mark]).stdin(Stdio::piped()).spawn().unwrap();
        // For a moment after its start the kernel shows no arguments.
        while std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap().is_empty() {
            std::thread::yield_now();
        }
        child
    }

    fn left_behind(mark: impl Fn(&Path) -> String) -> (Vec<String>, Child) {
        let dir = tempfile::tempdir().unwrap();
        let child = waiting(&mark(dir.path()));
        std::fs::write(dir.path().join("server.pid"), format!("{}\n", child.id())).unwrap();
        (end(dir.path(), dir.path()), child)
    }

    #[test]
    fn a_process_of_this_farm_is_ended() {
        let (ended, mut child) = left_behind(|farm| format!("{}/nats-server.conf", farm.display()));
        assert_eq!(ended, ["server"]);
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_process_that_only_has_the_same_number_is_left_alone() {
        let (ended, mut child) = left_behind(|farm| format!("{}-other/nats-server.conf", farm.display()));
        assert!(ended.is_empty());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
