//! The command lines of the farm's processes. It starts nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use drover_nats::Login;

use crate::folder::Folder;
use crate::lab::Lab;
use crate::programs::program;

/// What differs from one farm to another.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--lease-secs` of the scheduler.
    pub lease_secs: u64,
    /// `--beat-secs`.
    pub beat_secs: u64,
    /// `--hook-pool`, each.
    pub hook_pools: Vec<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self { lease_secs: 10, beat_secs: 1, hook_pools: Vec::new() }
    }
}

/// A command line in the making.
pub(crate) struct Command(Vec<OsString>);

impl Command {
    fn new(program: PathBuf) -> Self {
        Self(vec![program.into()])
    }

    fn word(mut self, word: impl Into<OsString>) -> Self {
        self.0.push(word.into());
        self
    }

    fn flag(self, name: &str, value: impl Into<OsString>) -> Self {
        self.word(name).word(value)
    }

    fn login(self, folder: &Folder, login: &Login) -> Self {
        let password = folder.password_file(login);
        let flags = self.flag("--nats-url", &login.url).flag("--uuid", &login.user).flag("--password-file", password);
        flags.flag("--bucket", folder.bucket_url())
    }

    /// The scheduler. `nats` is the broker's folder, where the logins are.
    pub(crate) fn scheduler(folder: &Folder, login: &Login, nats: &Path, options: &Options) -> Vec<OsString> {
        let command = Self::new(program("drover-scheduler")).login(folder, login);
        let command = command.flag("--state-dir", folder.scheduler()).flag("--logins", nats.join("logins"));
        let command = command.flag("--ready-file", folder.scheduler_ready());
        let command = command.flag("--lease-secs", options.lease_secs.to_string());
        let command = command.flag("--beat-secs", options.beat_secs.to_string());
        options.hook_pools.iter().fold(command, |command, pool| command.flag("--hook-pool", pool)).0
    }

    /// The worker that verifies and publishes.
    pub(crate) fn publish(folder: &Folder, login: &Login) -> Vec<OsString> {
        let command = Self::new(program("drover-hook-worker")).word("publish").login(folder, login);
        command.flag("--signing-key", folder.signing_key()).0
    }

    /// The substitute server, on a free port.
    pub(crate) fn cache(folder: &Folder, public_key: &str) -> Vec<OsString> {
        let command = Self::new(program("drover-cache")).flag("--bucket", folder.bucket_url());
        let command = command.flag("--listen", "127.0.0.1:0").flag("--port-file", folder.cache_port());
        command.flag("--public-key", public_key).0
    }

    /// An agent of one slot, where it sees its store.
    pub(crate) fn agent(folder: &Folder, login: &Login, name: &str, store: &Lab, cache: &Cache) -> Vec<OsString> {
        let command = Self::new(store.kind().script()).word("exec").word(store.scratch()).word(program("drover-agent"));
        let command = command.login(folder, login).flag("--name", name).flag("--state-dir", folder.join(name));
        let command = command.flag("--daemon-socket", store.config().socket).flag("--store-dir", store.store_dir().as_str());
        let command = command.flag("--substitute-url", &cache.url).flag("--trusted-public-key", &cache.public_key);
        command.flag("--min-free-bytes", "1000000").0
    }
}

/// What users of the substitutes must know.
#[derive(Debug, Clone)]
pub struct Cache {
    /// `http://…/nix-store`.
    pub url: String,
    /// The public half of the key that signs.
    pub public_key: String,
}

/// The script that gives stores with daemons of their own.
pub fn store_daemon() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/store-daemon")
}
