//! The command lines of the farm's processes. It starts nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use drover_nats::Login;
use drover_store::Family;

use crate::folder::Folder;
use crate::lab::Lab;
use crate::programs::program;
use crate::{Cache, Seat};

/// What differs from one farm to another.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--lease-secs` of the scheduler.
    pub lease_secs: u64,
    /// `--beat-secs`.
    pub beat_secs: u64,
    /// `--hook-pool`, each.
    pub hook_pools: Vec<&'static str>,
    /// `--download-tries`.
    pub download_tries: u32,
    /// Caches of other farms, which the pool `substitutes` is asked about.
    pub servers: Vec<Cache>,
    /// Further words of the scheduler's command line.
    pub words: Vec<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self { lease_secs: 10, beat_secs: 1, hook_pools: Vec::new(), download_tries: 4, servers: Vec::new(), words: Vec::new() }
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

    fn each<V: Into<OsString>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        values.into_iter().fold(self, |command, value| command.flag(name, value))
    }

    fn login(self, folder: &Folder, login: &Login) -> Self {
        let password = folder.password_file(login);
        self.flag("--nats-url", &login.url).flag("--uuid", &login.user).flag("--password-file", password)
    }

    fn bucket(self, folder: &Folder) -> Self {
        self.flag("--bucket", folder.bucket_url())
    }

    /// The scheduler. `nats` is the broker's folder, where the logins are.
    pub(crate) fn scheduler(folder: &Folder, login: &Login, nats: &Path, options: &Options) -> Vec<OsString> {
        let command = Self::new(program("drover-scheduler")).login(folder, login).bucket(folder);
        let command = command.flag("--state-dir", folder.scheduler()).flag("--logins", nats.join("logins"));
        let command = command.flag("--ready-file", folder.scheduler_ready());
        let command = command.flag("--lease-secs", options.lease_secs.to_string());
        let command = command.flag("--beat-secs", options.beat_secs.to_string());
        let command = command.flag("--download-tries", options.download_tries.to_string());
        let command = command.each("--hook-pool", &options.hook_pools);
        let command = options.words.iter().fold(command, |command, word| command.word(word));
        if options.servers.is_empty() { command.0 } else { command.word("--ask-substitutes").0 }
    }

    /// The worker that verifies and publishes.
    pub(crate) fn publish(folder: &Folder, login: &Login, signing_keys: &[PathBuf]) -> Vec<OsString> {
        let command = Self::new(program("drover-hook-worker")).word("publish").login(folder, login).bucket(folder);
        command.each("--signing-key", signing_keys).0
    }

    /// The worker that asks other substitute servers.
    pub(crate) fn substitutes(folder: &Folder, login: &Login, servers: &[Cache]) -> Vec<OsString> {
        let guix_key = |(n, server): (usize, &Cache)| {
            let file = folder.join(&format!("server-{n}.pub"));
            std::fs::write(&file, &server.guix_key).unwrap();
            file
        };
        let command = Self::new(program("drover-hook-worker")).word("substitutes").login(folder, login);
        let command = command.each("--substitute-url", servers.iter().flat_map(Cache::urls));
        let command = command.each("--trusted-public-key", servers.iter().map(|server| &server.nix_key));
        command.each("--guix-public-key", servers.iter().enumerate().map(guix_key)).0
    }

    /// The substitute server, on a free port.
    pub(crate) fn cache(folder: &Folder) -> Vec<OsString> {
        let command = Self::new(program("drover-cache")).bucket(folder);
        command.flag("--listen", "127.0.0.1:0").flag("--port-file", folder.cache_port()).0
    }

    /// An agent, where it sees its store. It reaches `servers` beside the farm's cache.
    pub(crate) fn agent(folder: &Folder, login: &Login, name: &str, seat: &Seat, cache: &Cache) -> Vec<OsString> {
        let Seat { store, slots, servers } = seat;
        let store_dir = store.store_dir();
        let command = Self(in_store(store)).word(program("drover-agent")).login(folder, login).bucket(folder);
        let command = command.flag("--name", name).flag("--state-dir", folder.join(name));
        let command = command.flag("--daemon-socket", store.config().socket).flag("--store-dir", store_dir.to_string());
        let command = command.flag("--max-parallel-builds", slots.to_string()).flag("--min-free-bytes", "1000000");
        let command = command.flag("--substitute-url", cache.url(&store_dir));
        let command = command.each("--extra-substitute-url", servers.iter().map(|server| server.url(&store_dir)));
        let nix_keys = [cache].into_iter().chain(servers).map(|cache| &cache.nix_key);
        // A Guix is told whom to trust by the list in its store's own settings.
        if store_dir.family() == Family::Nix { command.each("--trusted-public-key", nix_keys).0 } else { command.0 }
    }
}

/// How a command line begins that is to see this store in its place.
pub fn in_store(store: &Lab) -> Vec<OsString> {
    vec![store.kind().script().into(), "exec".into(), store.scratch().into()]
}
