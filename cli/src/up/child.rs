//! One child process: how it is started so that it does not outlive us, and how it is stopped.
//!
//! No child outlives `drover up`, even when that is killed with SIGKILL: where `setpriv` exists, the kernel is asked to
//! kill the child when its parent is gone; and each child holds the end of a pipe on its standard input, at whose end
//! Drover's own processes exit when `DROVER_EXIT_ON_STDIN_EOF=1`. What survived all the same is found by its pid file
//! at the next start ([`super::orphans`]).

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child as Process, ChildStdin, Command};

/// After SIGTERM, before SIGKILL.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A log larger than this is set aside as `NAME.log.old` when its child is started.
const MAX_LOG_BYTES: u64 = 64 << 20;

/// A child process, before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// For people, and for its log and pid file.
    pub(crate) name: String,
    /// What to run.
    pub(crate) program: PathBuf,
    /// With which arguments.
    pub(crate) args: Vec<OsString>,
}

/// Where the children's files go.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// `NAME.log`: what they print.
    pub(crate) log: PathBuf,
    /// `NAME.pid`: their process ids.
    pub(crate) run: PathBuf,
}

/// A child that runs.
pub(crate) struct Child {
    process: Process,
    /// `wait` would close its standard input, so that is held apart.
    _stdin: Option<ChildStdin>,
}

impl Child {
    /// Starts it. An error means that it could not be started at all.
    ///
    /// To be called on the main thread of a single-threaded runtime: the kernel's "parent" is the thread that started.
    pub(crate) fn start(plan: &Plan, folders: &Folders) -> io::Result<Self> {
        let log = open_log(&folders.log_file(&plan.name))?;
        let mut command = bound_to_us(plan);
        command
            .args(&plan.args)
            .env("DROVER_EXIT_ON_STDIN_EOF", "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C in the terminal is for `up`, which stops its children in order.
            .process_group(0)
            .kill_on_drop(true);
        let mut process = command.spawn().map_err(|error| named(error, &plan.program))?;
        if let Some(pid) = process.id() {
            // Whoever reads it finds all of it: after a kill of ours, what it names is ended by it.
            let (file, part) = (folders.pid_file(&plan.name), folders.run.join(format!("{}.part", plan.name)));
            std::fs::write(&part, format!("{pid}\n"))?;
            std::fs::rename(part, file)?;
        }
        let stdin = process.stdin.take();
        Ok(Self { process, _stdin: stdin })
    }

    /// Returns when it has ended.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        self.process.wait().await.unwrap_or_default()
    }

    /// Sends it a signal.
    fn signal(&self, signal: Signal) {
        // The id is there until the process was waited for: it cannot be another's by now.
        if let Some(pid) = self.process.id() {
            let _ = kill(Pid::from_raw(pid as i32), signal);
        }
    }

    /// Ends it: by SIGTERM, and after [`STOP_WITHIN`] by SIGKILL.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(STOP_WITHIN, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }
}

impl Folders {
    /// Where a child's words stand.
    pub(crate) fn log_file(&self, name: &str) -> PathBuf {
        self.log.join(format!("{name}.log"))
    }

    /// Where a child's pid stands.
    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        self.run.join(format!("{name}.pid"))
    }
}

/// The command, run through `setpriv` where that exists; it becomes the program, and its pid is the program's.
fn bound_to_us(plan: &Plan) -> Command {
    match super::programs::in_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(&plan.program);
            command
        }
        None => Command::new(&plan.program),
    }
}

fn open_log(path: &Path) -> io::Result<std::fs::File> {
    if std::fs::metadata(path).is_ok_and(|log| log.len() > MAX_LOG_BYTES) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().create(true).append(true).open(path).map_err(|error| named(error, path))
}

fn named(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
