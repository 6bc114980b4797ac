//! Processes of this program: started with logins, ready when they say so, ended by closing their input, after which they say
//! in one line what they did.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use drover_nats::Login;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::percent::Latency;

/// How long one may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(120);
const READY: &str = "ready";

/// A login, as it travels in a file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seat {
    url: String,
    /// The login's user.
    pub user: String,
    password: String,
}

impl Seat {
    /// Of a login.
    pub fn of(login: &Login) -> Self {
        Self { url: login.url.clone(), user: login.user.clone(), password: login.password.clone() }
    }

    /// The login.
    pub fn login(&self) -> Login {
        let (url, user, password) = (self.url.clone(), self.user.clone(), self.password.clone());
        Login { url, name: format!("bench/{user}"), user, password }
    }
}

/// What a child did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Offers that were accepted.
    pub accepted: u64,
    /// Attempts that are not settled.
    pub held: u64,
    /// What was told to be stopped.
    pub aborted: u64,
    /// How long offers took.
    pub latencies: Vec<Latency>,
}

impl Tally {
    /// Of both.
    pub fn and(mut self, other: Self) -> Self {
        self.accepted += other.accepted;
        self.held += other.held;
        self.aborted += other.aborted;
        self.latencies.extend(other.latencies);
        self
    }
}

/// One of them, as its parent sees it.
pub struct Running {
    child: Child,
    stdin: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts one and waits until it is ready.
    pub async fn start(args: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().context("its input")?;
        let mut said = BufReader::new(child.stdout.take().context("its output")?).lines();
        let first = tokio::time::timeout(PATIENCE, said.next_line()).await.context("a child is not ready in time")??;
        ensure!(first.as_deref() == Some(READY), "a child did not start: {first:?}");
        Ok(Self { child, stdin, said })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Ends it, and hears what it did.
    pub async fn end(self) -> anyhow::Result<Tally> {
        let Self { mut child, stdin, mut said } = self;
        drop(stdin);
        let tally = tokio::time::timeout(PATIENCE, said.next_line()).await.context("a child does not end")??;
        child.wait().await?;
        serde_json::from_str(&tally.context("a child said nothing")?).context("what a child did")
    }
}

/// Writes something for a child to read.
pub fn write<T: Serialize>(path: PathBuf, what: &T) -> anyhow::Result<String> {
    std::fs::write(&path, rmp_serde::to_vec_named(what)?)?;
    Ok(path.display().to_string())
}

/// Reads what the parent wrote.
pub fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    rmp_serde::from_slice(&std::fs::read(path)?).with_context(|| path.display().to_string())
}

/// Says to the parent that work can begin.
pub fn say_ready() {
    println!("{READY}");
}

/// Returns when the parent wants nothing more, or is gone.
pub async fn until_unwanted() {
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}

/// Says what was done.
pub fn say(tally: &Tally) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", serde_json::to_string(tally)?)?;
    Ok(())
}
