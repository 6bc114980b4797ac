//! One process of the farm: started, killed as a power cut would, started again with the same command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Lines of a log that are shown when a test fails.
const SHOWN_LINES: usize = 60;

/// A process, alive or dead. It dies when this is dropped; its log is shown when that is because a test failed.
pub struct Process {
    name: String,
    command: Vec<OsString>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Starts a program; what it says goes to `log`, behind what is there.
    pub fn start(name: &str, command: Vec<OsString>, log: &Path) -> Self {
        let mut process = Self { name: name.into(), command, log: log.into(), child: None };
        process.run();
        process
    }

    /// Starts it again, after its death.
    ///
    /// # Panics
    /// When it runs, or cannot be started.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        let log = std::fs::File::options().create(true).append(true).open(&self.log).expect("a log");
        // The process ends with this one, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.command);
        command.env("DROVER_LOG", "info,async_nats=warn").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.name)));
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&mut self, within: Duration) -> ExitStatus {
        let child = self.child.as_ref().expect("it runs");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::SIGTERM)
            .expect("a child of ours");
        self.end(within).await
    }

    /// Its number, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its command line.
    pub fn command(&self) -> &[OsString] {
        &self.command
    }

    /// What it has said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("a child of ours")
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it does not.
    pub async fn end(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended() {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < deadline, "{} did not end:\n{}", self.name, self.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, self.last_words());
        }
    }
}
