//! A store and its daemon.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use drover_daemon::{Connection, DaemonConfig, Options, StoreDaemon};
use drover_store::{Derivation, DrvPath, StoreDir, StorePath};
use tempfile::TempDir;

use super::kind::{Kind, sid};

/// The exit code by which the scripts say that this machine cannot do it.
const IMPOSSIBLE: i32 = 77;
/// How many user ids each store takes, with room to spare.
const UIDS: u32 = 32;

/// A store and its daemon, which end with this value.
pub struct Lab {
    kind: Kind,
    dir: TempDir,
    uid_base: u32,
    settings: Vec<String>,
    busybox: OnceLock<StorePath>,
}

impl Lab {
    /// Starts this machine's `nix-daemon` with these lines in its configuration. `None`, said aloud, where that cannot
    /// be done.
    pub fn start(conf: &[&str]) -> Option<Self> {
        Self::of(Kind::Nix, conf)
    }

    /// Starts a daemon of any kind. The settings are lines of `nix.conf`, or options of `guix-daemon`.
    pub fn of(kind: Kind, settings: &[&str]) -> Option<Self> {
        Self::try_of(kind, settings).inspect_err(|why| eprintln!("SKIPPED: {why}")).ok()
    }

    /// The same, where why it cannot be done is for the caller to say.
    pub fn try_of(kind: Kind, settings: &[&str]) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let ours = 100_000_000 + std::process::id() % 100_000 * 1_000;
        let lab = Self {
            kind,
            dir: tempfile::Builder::new().prefix("store ").tempdir_in("/tmp").expect("a temporary directory"),
            uid_base: ours + COUNT.fetch_add(1, Ordering::Relaxed) * UIDS,
            settings: settings.iter().map(ToString::to_string).collect(),
            busybox: OnceLock::new(),
        };
        lab.try_start_daemon().map(|()| lab)
    }

    /// Starts the daemon of this store, again after it was killed.
    pub fn start_daemon(&self) -> bool {
        self.try_start_daemon().inspect_err(|why| eprintln!("SKIPPED: {why}")).is_ok()
    }

    fn try_start_daemon(&self) -> Result<(), String> {
        let mut command = self.script("start");
        if self.kind == Kind::NewerNix {
            command.arg("--root").arg(sid());
        }
        command.arg(self.dir.path()).arg("test").arg(self.uid_base.to_string()).args(&self.settings);
        let output = command.output().expect("the script can be run");
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.code() == Some(IMPOSSIBLE) {
            return Err(words);
        }
        assert!(output.status.success(), "{words}");
        Ok(())
    }

    /// Kills the daemon and every build in it.
    pub fn kill_daemon(&self) {
        self.done(self.script("stop").arg(self.dir.path()));
    }

    /// Starts the daemon anew where no host has a name, so that every download fails at once, wherever this runs.
    pub fn forget_hosts(&self) {
        self.kill_daemon();
        std::fs::write(self.dir.path().join("etc/nsswitch.conf"), "hosts: files\n").expect("settings can be written");
        assert!(self.start_daemon());
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn store_dir(&self) -> StoreDir {
        self.kind.store_dir()
    }

    /// A connection that does not substitute.
    pub async fn connect(&self) -> Connection {
        self.connect_with(&Options::default()).await
    }

    pub async fn connect_with(&self, options: &Options) -> Connection {
        let mut connection = Connection::connect(&self.config()).await.expect("the daemon answers");
        connection.set_options(options).await.expect("options are taken");
        connection
    }

    pub fn config(&self) -> DaemonConfig {
        DaemonConfig::new(self.dir.path().join("socket"), self.store_dir())
    }

    /// Runs a command of this machine where this store is in its place, and gives what it prints, or what it complains.
    pub fn try_run(&self, command: &[&str]) -> Result<String, String> {
        told(self.script("exec").arg(self.dir.path()).args(command))
    }

    pub fn run(&self, command: &[&str]) -> String {
        self.try_run(command).unwrap_or_else(|complaint| panic!("{command:?}: {complaint}"))
    }

    /// Runs Guix's own client with this store.
    pub fn try_guix(&self, arguments: &[&str]) -> Result<String, String> {
        told(self.script("guix").arg(self.dir.path()).args(arguments))
    }

    pub fn guix(&self, arguments: &[&str]) -> String {
        self.try_guix(arguments).unwrap_or_else(|complaint| panic!("guix {arguments:?}: {complaint}"))
    }

    /// Collects all garbage.
    pub fn collect_garbage(&self) {
        match self.kind {
            Kind::Nix | Kind::NewerNix => self.run(&["nix-store", "--gc"]),
            Kind::Guix => self.guix(&["gc"]),
        };
    }

    /// What runs scripts in this store's builds, what that is in the store, and where scripts find tools: those of a
    /// POSIX shell's world. Nix lets in this machine's; Guix lets in nothing, so its store gets a busybox.
    pub fn shell(&self) -> (String, Option<StorePath>, String) {
        if self.kind != Kind::Guix {
            return ("/bin/sh".into(), None, "/usr/bin:/bin".into());
        }
        let busybox = self.busybox.get_or_init(|| self.add_busybox());
        let bin = format!("{}/bin", self.store_dir().path(busybox));
        (format!("{bin}/sh"), Some(busybox.clone()), bin)
    }

    /// A folder with busybox under all its names: it does what its own name says. Rooted, so that no test collects it.
    fn add_busybox(&self) -> StorePath {
        let bin = self.dir.path().join("busybox/bin");
        std::fs::create_dir_all(&bin).unwrap();
        let original = sid().join("usr/bin/busybox");
        std::fs::copy(&original, bin.join("busybox")).expect("busybox-static in the root of sid");
        // Of the copy, a child that another test starts meanwhile may hold what wrote it: it cannot be run at once.
        let names = told(Command::new(original).arg("--list")).unwrap();
        for name in names.lines().filter(|name| *name != "busybox") {
            symlink("busybox", bin.join(name)).unwrap();
        }
        let absolute = self.add_to_guix("busybox", &self.dir.path().join("busybox"));
        symlink(&absolute, self.dir.path().join("var/gcroots/busybox")).unwrap();
        self.store_dir().parse(&absolute).expect("a store path")
    }

    /// Adds a file or folder of this machine to a store of Guix, and gives its absolute path in there.
    pub fn add_to_guix(&self, name: &str, from: &Path) -> String {
        let script = self.dir.path().join("add.scm");
        let add = format!("(add-to-store store {name:?} #t \"sha256\" {from:?})");
        std::fs::write(&script, format!("(use-modules (guix store)) (with-store store (display {add}))")).unwrap();
        self.guix(&["repl", "--", script.to_str().expect("UTF-8")])
    }

    /// Instantiates a Nix expression in this store and reads the derivation.
    pub fn instantiate(&self, expression: &str) -> (DrvPath, Derivation) {
        let absolute = self.run(&["nix-instantiate", "--expr", expression]);
        self.read_derivation(&absolute)
    }

    pub fn read_derivation(&self, absolute: &str) -> (DrvPath, Derivation) {
        let drv: DrvPath = self.store_dir().parse(absolute).expect("a store path").try_into().expect("a derivation's path");
        let aterm = std::fs::read(self.file(&drv)).expect("the .drv is in the store");
        (drv, Derivation::parse(&self.store_dir(), &aterm).expect("a derivation"))
    }

    /// Where the host sees a path of this store.
    pub fn file(&self, path: &StorePath) -> PathBuf {
        self.dir.path().join(self.kind.mount_point()).join("store").join(path.as_str())
    }

    /// A place for files of the test.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new(self.kind.script());
        command.arg(verb);
        command
    }

    fn done(&self, command: &mut Command) {
        told(command).unwrap_or_else(|complaint| panic!("{complaint}"));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(complaint) = told(self.script("remove").arg(self.dir.path())) {
            eprintln!("left behind: {complaint}");
        }
    }
}

/// What a command prints, or what it complains.
fn told(command: &mut Command) -> Result<String, String> {
    let output = command.output().expect("the command can be run");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
