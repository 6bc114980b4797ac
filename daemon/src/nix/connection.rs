//! One conversation with a `nix-daemon`.

use std::collections::BTreeSet;
use std::path::Path;

use drover_store::{StoreDir, StorePath};

use crate::channel::Channel;
use crate::conversation::Conversation;
use crate::{BuildMode, BuildResult, DaemonError, Dialect, Event, Job, Options, PathInfo, ProtocolVersion, StoreDaemon};

/// The longest version text accepted from a daemon, in bytes.
const MAX_NIX_VERSION_BYTES: u64 = 256;

/// One conversation with a `nix-daemon`; see [`StoreDaemon`].
#[derive(Debug)]
pub struct Connection {
    pub(super) talk: Conversation,
    /// What the daemon was told last, if anything.
    pub(super) options: Option<Options>,
    welcome: Welcome,
}

/// What a `nix-daemon` says of itself in its greeting.
#[derive(Debug, Default)]
pub(crate) struct Welcome {
    nix_version: String,
    trusted: Option<bool>,
}

impl Welcome {
    /// Reads what follows the agreement on a version.
    pub async fn read(channel: &mut Channel, protocol: ProtocolVersion) -> Result<Self, DaemonError> {
        let nix_version = channel.input.text(MAX_NIX_VERSION_BYTES).await?;
        let trusted = if protocol.minor() >= 35 { read_trust(channel.input.number().await?) } else { None };
        Ok(Self { nix_version, trusted })
    }
}

fn read_trust(code: u64) -> Option<bool> {
    match code {
        1 => Some(true),
        2 => Some(false),
        _ => None,
    }
}

impl Connection {
    pub(crate) fn new(talk: Conversation, welcome: Welcome) -> Self {
        Self { talk, options: None, welcome }
    }

    /// The daemon's version of Nix, such as `2.8.0`.
    pub fn nix_version(&self) -> &str {
        &self.welcome.nix_version
    }
}

impl StoreDaemon for Connection {
    fn dialect(&self) -> Dialect {
        Dialect::Nix
    }

    fn protocol(&self) -> ProtocolVersion {
        self.talk.protocol()
    }

    fn store_dir(&self) -> &StoreDir {
        self.talk.store_dir()
    }

    fn is_usable(&self) -> bool {
        self.talk.is_usable()
    }

    fn trusted(&self) -> Option<bool> {
        self.welcome.trusted
    }

    fn worker(&self) -> Option<u32> {
        self.talk.worker()
    }

    async fn set_options(&mut self, options: &Options) -> Result<(), DaemonError> {
        self.change_options(options).await
    }

    async fn is_valid(&mut self, path: &StorePath) -> Result<bool, DaemonError> {
        self.talk.is_valid(path).await
    }

    async fn query_valid(&mut self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, DaemonError> {
        self.ask_valid(paths).await
    }

    async fn path_info(&mut self, path: &StorePath) -> Result<Option<PathInfo>, DaemonError> {
        self.ask_path_info(path).await
    }

    async fn add_temp_root(&mut self, path: &StorePath) -> Result<(), DaemonError> {
        self.talk.add_temp_root(path).await
    }

    async fn add_indirect_root(&mut self, link: &Path) -> Result<(), DaemonError> {
        self.talk.add_indirect_root(link).await
    }

    async fn ensure(&mut self, path: &StorePath) -> Result<(), DaemonError> {
        self.talk.ensure(path).await
    }

    async fn ensure_all(&mut self, paths: &BTreeSet<StorePath>) -> Result<(), DaemonError> {
        let mut outcome = Ok(());
        for path in paths {
            match self.talk.ensure(path).await {
                Err(error) if !error.leaves_in_step() => return Err(error),
                ensured => outcome = outcome.and(ensured),
            }
        }
        outcome
    }

    async fn add_text(&mut self, name: &str, contents: &[u8], references: &[StorePath]) -> Result<StorePath, DaemonError> {
        self.send_text(name, contents, references).await
    }

    async fn build(
        &mut self,
        job: &Job<'_>,
        mode: BuildMode,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<BuildResult, DaemonError> {
        self.build_derivation(job, mode, on_event).await
    }

    async fn delete(&mut self, path: &StorePath) -> Result<bool, DaemonError> {
        self.talk.delete(path).await
    }
}
