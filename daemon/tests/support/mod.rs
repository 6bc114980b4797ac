//! A real `nix-daemon` with an empty store of its own, by `demo/store-daemon`.

#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use drover_daemon::{BasicDerivation, BuildMode, BuildResult, Connection, DaemonConfig, DaemonError, Event, Options};
use drover_store::{Derivation, DrvPath, StoreDir, StorePath};
use tempfile::TempDir;

/// The exit code by which the script says that this machine cannot do it.
const IMPOSSIBLE: i32 = 77;
/// How many user ids each store takes, with room to spare.
const UIDS: u32 = 32;

/// A store and its daemon, which end with this value.
pub struct Lab {
    dir: TempDir,
    uid_base: u32,
    conf: Vec<String>,
}

impl Lab {
    /// Starts a daemon with these lines in its configuration. `None`, said aloud, where that cannot be done.
    pub fn start(conf: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let ours = 100_000_000 + std::process::id() % 100_000 * 1_000;
        let lab = Self {
            dir: tempfile::Builder::new().prefix("store ").tempdir_in("/tmp").expect("a temporary directory"),
            uid_base: ours + COUNT.fetch_add(1, Ordering::Relaxed) * UIDS,
            conf: conf.iter().map(ToString::to_string).collect(),
        };
        lab.start_daemon().then_some(lab)
    }

    /// Starts the daemon of this store, again after it was killed.
    pub fn start_daemon(&self) -> bool {
        let conf = self.conf.iter().map(OsStr::new);
        let uid_base = self.uid_base.to_string();
        let arguments = [self.dir.path().as_os_str(), OsStr::new("test"), OsStr::new(&uid_base)];
        let output = script("start", arguments.into_iter().chain(conf));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(IMPOSSIBLE) {
            eprintln!("SKIPPED: {words}");
            return false;
        }
        assert!(output.status.success(), "{words}");
        true
    }

    /// Kills the daemon and every build in it.
    pub fn kill_daemon(&self) {
        assert!(script("stop", [self.dir.path()]).status.success());
    }

    /// A connection that does not substitute.
    pub async fn connect(&self) -> Connection {
        let mut connection = Connection::connect(&self.config()).await.expect("the daemon answers");
        connection.set_options(&Options::default()).await.expect("options are taken");
        connection
    }

    pub fn config(&self) -> DaemonConfig {
        DaemonConfig::new(self.dir.path().join("socket"), StoreDir::nix())
    }

    /// Runs a command where /nix is this store, and gives what it prints, or what it complains.
    pub fn try_run(&self, command: &[&str]) -> Result<String, String> {
        let output = script("exec", [self.dir.path().as_os_str()].into_iter().chain(command.iter().map(OsStr::new)));
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    pub fn run(&self, command: &[&str]) -> String {
        self.try_run(command).unwrap_or_else(|complaint| panic!("{command:?}: {complaint}"))
    }

    /// Instantiates a Nix expression in this store and reads the derivation.
    pub fn instantiate(&self, expression: &str) -> (DrvPath, Derivation) {
        let absolute = self.run(&["nix-instantiate", "--expr", expression]);
        self.read_derivation(&absolute)
    }

    pub fn read_derivation(&self, absolute: &str) -> (DrvPath, Derivation) {
        let drv: DrvPath = store_path(absolute).try_into().expect("a derivation's path");
        let aterm = std::fs::read(self.file(&drv)).expect("the .drv is in the store");
        (drv, Derivation::parse(&StoreDir::nix(), &aterm).expect("a derivation of Nix"))
    }

    /// Where the host sees a path of this store.
    pub fn file(&self, path: &StorePath) -> PathBuf {
        self.dir.path().join("nix/store").join(path.as_str())
    }

    /// A place for files of the test.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let output = script("remove", [self.dir.path()]);
        if !output.status.success() {
            eprintln!("left behind: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn script(verb: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/store-daemon");
    Command::new(script).arg(verb).args(arguments).output().expect("demo/store-daemon can be run")
}

pub fn store_path(absolute: &str) -> StorePath {
    StoreDir::nix().parse(absolute).expect("a store path")
}

/// The expression of a derivation that runs `commands`; they find tools and end with `$out` in place.
pub fn shell(name: &str, attributes: &str, commands: &str) -> String {
    format!(
        r#"derivation {{ name = "{name}"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/usr/bin:/bin";
           args = [ "-c" ''{commands}'' ]; {attributes} }}"#
    )
}

/// Builds a derivation that has no input derivations, and gives its log too.
pub async fn build(
    connection: &mut Connection,
    drv: &DrvPath,
    derivation: &Derivation,
) -> (Result<BuildResult, DaemonError>, Vec<String>) {
    let mut log = Vec::new();
    let basic = BasicDerivation::new(derivation, []);
    let outcome = connection.build_derivation(drv, &basic, BuildMode::Normal, |event| keep_line(event, &mut log)).await;
    (outcome, log)
}

pub fn keep_line(event: Event, log: &mut Vec<String>) {
    if let Event::Line(line) = event {
        log.push(line);
    }
}

/// Waits until something is so, which must happen within ten seconds.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "still not so after ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process with this argument runs on this machine.
pub fn runs_with_argument(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc");
    processes
        .flatten()
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|cmdline| cmdline.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
}
