//! Keeps a handful of child processes running, and stops them in reverse order.
//!
//! It knows processes, log files and signals. It does not know what the children are, nor when they are ready.
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
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The first delay before a child that died is started again; it doubles up to [`LONGEST_DELAY`].
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// The longest delay before a child that died is started again.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A child that ran for this long begins again with [`FIRST_DELAY`].
const STEADY_AFTER: Duration = Duration::from_secs(60);
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

/// Tells the user, in one line.
pub(crate) type Tell = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Debug, Clone, Copy)]
enum Order {
    Stop,
    Signal(Signal),
}

/// A child that is kept running.
pub(crate) struct Kept {
    name: String,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Kept {
    /// Passes a signal on to the process, if it runs.
    pub(crate) async fn signal(&self, signal: Signal) {
        let _ = self.orders.send(Order::Signal(signal)).await;
    }
}

/// The children, in the order of their start.
pub(crate) struct Supervisor {
    folders: Folders,
    tell: Tell,
    kept: Vec<Kept>,
}

impl Supervisor {
    /// Nothing runs yet.
    pub(crate) fn new(folders: Folders, tell: Tell) -> Self {
        Self { folders, tell, kept: Vec::new() }
    }

    /// Starts a child, and keeps it running from now on. An error means that it could not be started at all.
    ///
    /// To be called on the main thread of a single-threaded runtime: the kernel's "parent" is the thread that started.
    pub(crate) fn keep(&mut self, plan: Plan) -> io::Result<&Kept> {
        let child = start(&plan, &self.folders)?;
        let (orders, inbox) = mpsc::channel(8);
        let name = plan.name.clone();
        let keeper = Keeper { plan, folders: self.folders.clone(), tell: self.tell.clone(), inbox };
        let task = tokio::spawn(keeper.run(child));
        self.kept.push(Kept { name, orders, task });
        Ok(&self.kept[self.kept.len() - 1])
    }

    /// The child of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.name == name)
    }

    /// Stops all children, the last started first. Each has [`STOP_WITHIN`] before it is killed.
    pub(crate) async fn stop(self) {
        for kept in self.kept.into_iter().rev() {
            let _ = kept.orders.send(Order::Stop).await;
            let _ = kept.task.await;
            let _ = std::fs::remove_file(pid_file(&self.folders, &kept.name));
        }
    }
}

/// The task that keeps one child running.
struct Keeper {
    plan: Plan,
    folders: Folders,
    tell: Tell,
    inbox: mpsc::Receiver<Order>,
}

/// A child that runs. `Child::wait` would close its standard input, so that is held apart.
struct Running {
    child: Child,
    _stdin: Option<ChildStdin>,
}

/// What became of a child that was watched.
enum Watched {
    Died(ExitStatus),
    ToStop,
}

impl Keeper {
    async fn run(mut self, first: Running) {
        let mut running = first;
        let mut delay = FIRST_DELAY;
        loop {
            let started = Instant::now();
            match self.watch(&mut running.child).await {
                Watched::ToStop => return stop(&mut running.child).await,
                Watched::Died(status) => {
                    if started.elapsed() >= STEADY_AFTER {
                        delay = FIRST_DELAY;
                    }
                    self.told_death(status, delay);
                }
            }
            running = match self.start_again(&mut delay).await {
                Some(running) => running,
                None => return,
            };
        }
    }

    async fn watch(&mut self, child: &mut Child) -> Watched {
        loop {
            tokio::select! {
                status = child.wait() => return Watched::Died(status.unwrap_or_default()),
                order = self.inbox.recv() => match order {
                    Some(Order::Signal(signal)) => send(child, signal),
                    Some(Order::Stop) | None => return Watched::ToStop,
                },
            }
        }
    }

    fn told_death(&self, status: ExitStatus, delay: Duration) {
        let log = self.folders.log.join(format!("{}.log", self.plan.name));
        (self.tell)(&format!(
            "{} ended ({status}); it is started again in {:.1} s. Its words: {}",
            self.plan.name,
            delay.as_secs_f32(),
            log.display()
        ));
    }

    /// Waits, and starts the child, as often as it takes; `None` when it is to stop meanwhile.
    async fn start_again(&mut self, delay: &mut Duration) -> Option<Running> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(*delay) => {}
                order = self.inbox.recv() => match order {
                    Some(Order::Signal(_)) => continue,
                    Some(Order::Stop) | None => return None,
                },
            }
            *delay = (*delay * 2).min(LONGEST_DELAY);
            match start(&self.plan, &self.folders) {
                Ok(running) => return Some(running),
                Err(error) => (self.tell)(&format!("{} cannot be started: {error}", self.plan.name)),
            }
        }
    }
}

fn start(plan: &Plan, folders: &Folders) -> io::Result<Running> {
    let log = open_log(&folders.log.join(format!("{}.log", plan.name)))?;
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
    let mut child = command.spawn().map_err(|error| named(error, &plan.program))?;
    if let Some(pid) = child.id() {
        std::fs::write(pid_file(folders, &plan.name), format!("{pid}\n"))?;
    }
    let stdin = child.stdin.take();
    Ok(Running { child, _stdin: stdin })
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

/// Where a child's pid stands.
pub(crate) fn pid_file(folders: &Folders, name: &str) -> PathBuf {
    folders.run.join(format!("{name}.pid"))
}

fn send(child: &Child, signal: Signal) {
    // The id is there until the child was waited for: it cannot be another process's by now.
    if let Some(pid) = child.id() {
        let _ = kill(Pid::from_raw(pid as i32), signal);
    }
}

async fn stop(child: &mut Child) {
    send(child, Signal::SIGTERM);
    if tokio::time::timeout(STOP_WITHIN, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Ground {
        dir: tempfile::TempDir,
        said: Arc<Mutex<Vec<String>>>,
    }

    impl Ground {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), said: Arc::default() }
        }

        fn supervisor(&self) -> Supervisor {
            let said = self.said.clone();
            let path = self.dir.path().to_owned();
            let folders = Folders { log: path.clone(), run: path };
            Supervisor::new(folders, Arc::new(move |line: &str| said.lock().unwrap().push(line.to_owned())))
        }

        fn shell(&self, name: &str, script: &str) -> Plan {
            Plan { name: name.into(), program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] }
        }

        fn file(&self, name: &str) -> String {
            std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
        }

        fn path(&self) -> String {
            self.dir.path().display().to_string()
        }

        async fn until(&self, what: impl Fn() -> bool) {
            let waited = Instant::now();
            while !what() {
                assert!(waited.elapsed() < Duration::from_secs(20), "waited too long; said {:?}", self.said.lock().unwrap());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn alive(pid: &str) -> bool {
        kill(Pid::from_raw(pid.trim().parse().unwrap()), None).is_ok()
    }

    #[tokio::test]
    async fn a_child_that_dies_is_told_and_started_again() {
        let ground = Ground::new();
        let mut supervisor = ground.supervisor();
        supervisor.keep(ground.shell("short", "echo once; exit 3")).unwrap();
        ground.until(|| ground.file("short.log").lines().count() >= 2).await;
        supervisor.stop().await;
        let said = ground.said.lock().unwrap().clone();
        assert!(said[0].starts_with("short ended (exit status: 3); it is started again in 0.5 s"), "{said:?}");
    }

    #[tokio::test]
    async fn children_are_stopped_by_term_in_reverse_order() {
        let ground = Ground::new();
        let mut supervisor = ground.supervisor();
        for name in ["first", "second"] {
            let script =
                format!("trap 'echo {name} >> {}/order; exit 0' TERM; echo up; while :; do sleep 0.05; done", ground.path());
            supervisor.keep(ground.shell(name, &script)).unwrap();
            ground.until(|| !ground.file(&format!("{name}.log")).is_empty()).await;
        }
        supervisor.stop().await;
        assert_eq!(ground.file("order"), "second\nfirst\n");
        assert!(ground.said.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_signal_reaches_the_child() {
        let ground = Ground::new();
        let mut supervisor = ground.supervisor();
        let script = "trap 'echo again' HUP; echo up; while :; do sleep 0.05; done";
        supervisor.keep(ground.shell("reader", script)).unwrap();
        ground.until(|| ground.file("reader.log") == "up\n").await;
        supervisor.get("reader").unwrap().signal(Signal::SIGHUP).await;
        ground.until(|| ground.file("reader.log") == "up\nagain\n").await;
        supervisor.stop().await;
    }

    #[tokio::test]
    async fn the_standard_input_of_a_child_stays_open_until_it_is_stopped() {
        let ground = Ground::new();
        let mut supervisor = ground.supervisor();
        supervisor.keep(ground.shell("waits", "echo up; read line; echo eof")).unwrap();
        ground.until(|| !ground.file("waits.log").is_empty()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(ground.file("waits.log"), "up\n");
        let pid = ground.file("waits.pid");
        supervisor.stop().await;
        assert!(!alive(&pid));
        assert_eq!(ground.file("waits.pid"), "");
    }
}
