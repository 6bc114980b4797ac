//! Keeps a handful of child processes running, and stops them in reverse order. It does not know what they are, nor
//! when they are ready.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::child::{Child, Folders, Plan};

/// The first delay before a child that died is started again; it doubles up to [`LONGEST_DELAY`].
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// The longest delay before a child that died is started again.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A child that ran for this long begins again with [`FIRST_DELAY`].
const STEADY_AFTER: Duration = Duration::from_secs(60);
/// Tells the user, in one line.
pub(crate) type Tell = std::sync::Arc<dyn Fn(&str) + Send + Sync>;

/// A child that is kept running.
struct Kept {
    name: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
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
    /// For where to call it see [`Child::start`].
    pub(crate) fn keep(&mut self, plan: Plan) -> io::Result<()> {
        let child = Child::start(&plan, &self.folders)?;
        let (stop, stopped) = oneshot::channel();
        let name = plan.name.clone();
        let keeper = Keeper { plan, folders: self.folders.clone(), tell: self.tell.clone(), stopped };
        let task = tokio::spawn(keeper.run(child));
        self.kept.push(Kept { name, stop, task });
        Ok(())
    }

    /// Stops all children, the last started first. Each has [`STOP_WITHIN`] before it is killed.
    pub(crate) async fn stop(self) {
        for kept in self.kept.into_iter().rev() {
            let _ = kept.stop.send(());
            let _ = kept.task.await;
            let _ = std::fs::remove_file(self.folders.pid_file(&kept.name));
        }
    }
}

/// The task that keeps one child running.
struct Keeper {
    plan: Plan,
    folders: Folders,
    tell: Tell,
    stopped: oneshot::Receiver<()>,
}

/// What became of a child that was watched.
enum Watched {
    Died(ExitStatus),
    ToStop,
}

impl Keeper {
    async fn run(mut self, first: Child) {
        let mut child = first;
        let mut delay = FIRST_DELAY;
        loop {
            let started = Instant::now();
            match self.watch(&mut child).await {
                Watched::ToStop => return child.stop().await,
                Watched::Died(status) => {
                    if started.elapsed() >= STEADY_AFTER {
                        delay = FIRST_DELAY;
                    }
                    self.told_death(status, delay);
                }
            }
            child = match self.start_again(&mut delay).await {
                Some(child) => child,
                None => return,
            };
        }
    }

    async fn watch(&mut self, child: &mut Child) -> Watched {
        tokio::select! {
            status = child.wait() => Watched::Died(status),
            _ = &mut self.stopped => Watched::ToStop,
        }
    }

    fn told_death(&self, status: ExitStatus, delay: Duration) {
        let log = self.folders.log_file(&self.plan.name);
        (self.tell)(&format!(
            "{} ended ({status}); it is started again in {:.1} s. Its words: {}",
            self.plan.name,
            delay.as_secs_f32(),
            log.display()
        ));
    }

    /// Waits, and starts the child, as often as it takes; `None` when it is to stop meanwhile.
    async fn start_again(&mut self, delay: &mut Duration) -> Option<Child> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(*delay) => {}
                _ = &mut self.stopped => return None,
            }
            *delay = (*delay * 2).min(LONGEST_DELAY);
            match Child::start(&self.plan, &self.folders) {
                Ok(child) => return Some(child),
                Err(error) => (self.tell)(&format!("{} cannot be started: {error}", self.plan.name)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use nix::sys::signal::kill;
    use nix::unistd::Pid;

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
