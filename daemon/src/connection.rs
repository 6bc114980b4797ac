//! A conversation with whichever daemon answered.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use drover_store::{StoreDir, StorePath};

use crate::channel::within;
use crate::dial::dial;
use crate::greeting::greet;
use crate::{
    BuildMode, BuildResult, DaemonConfig, DaemonError, Dialect, Event, Job, Options, PathInfo, ProtocolVersion, StoreDaemon,
    guix, nix,
};

/// A conversation with a store daemon, in the dialect that it speaks.
#[derive(Debug)]
pub enum Connection {
    /// With a `nix-daemon`.
    Nix(nix::Connection),
    /// With a `guix-daemon`.
    Guix(guix::Connection),
}

impl Connection {
    /// Connects and greets.
    ///
    /// # Errors
    /// [`DaemonError::Unreachable`] when nobody listens, [`DaemonError::Dialect`] for a daemon that this
    /// client cannot speak to, and the usual ones of a conversation.
    pub async fn connect(config: &DaemonConfig) -> Result<Self, DaemonError> {
        let unreachable = |source: io::Error| DaemonError::Unreachable { socket: config.socket.clone(), source };
        within(config.connect_timeout, "the greeting", async {
            let stream = dial(&config.socket).await.map_err(unreachable)?;
            greet(stream, config).await
        })
        .await
    }
}

/// Says the same to either.
macro_rules! either {
    ($connection:ident, $daemon:ident => $said:expr) => {
        match $connection {
            Connection::Nix($daemon) => $said,
            Connection::Guix($daemon) => $said,
        }
    };
}

impl StoreDaemon for Connection {
    fn dialect(&self) -> Dialect {
        either!(self, daemon => daemon.dialect())
    }

    fn protocol(&self) -> ProtocolVersion {
        either!(self, daemon => daemon.protocol())
    }

    fn store_dir(&self) -> &StoreDir {
        either!(self, daemon => daemon.store_dir())
    }

    fn is_usable(&self) -> bool {
        either!(self, daemon => daemon.is_usable())
    }

    fn trusted(&self) -> Option<bool> {
        either!(self, daemon => daemon.trusted())
    }

    fn worker(&self) -> Option<u32> {
        either!(self, daemon => daemon.worker())
    }

    async fn set_options(&mut self, options: &Options) -> Result<(), DaemonError> {
        either!(self, daemon => daemon.set_options(options).await)
    }

    async fn is_valid(&mut self, path: &StorePath) -> Result<bool, DaemonError> {
        either!(self, daemon => daemon.is_valid(path).await)
    }

    async fn query_valid(&mut self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, DaemonError> {
        either!(self, daemon => daemon.query_valid(paths).await)
    }

    async fn path_info(&mut self, path: &StorePath) -> Result<Option<PathInfo>, DaemonError> {
        either!(self, daemon => daemon.path_info(path).await)
    }

    async fn add_temp_root(&mut self, path: &StorePath) -> Result<(), DaemonError> {
        either!(self, daemon => daemon.add_temp_root(path).await)
    }

    async fn add_indirect_root(&mut self, link: &Path) -> Result<(), DaemonError> {
        either!(self, daemon => daemon.add_indirect_root(link).await)
    }

    async fn ensure(&mut self, path: &StorePath) -> Result<(), DaemonError> {
        either!(self, daemon => daemon.ensure(path).await)
    }

    async fn ensure_all(&mut self, paths: &BTreeSet<StorePath>) -> Result<(), DaemonError> {
        either!(self, daemon => daemon.ensure_all(paths).await)
    }

    async fn add_text(&mut self, name: &str, contents: &[u8], references: &[StorePath]) -> Result<StorePath, DaemonError> {
        either!(self, daemon => daemon.add_text(name, contents, references).await)
    }

    async fn build(
        &mut self,
        job: &Job<'_>,
        mode: BuildMode,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<BuildResult, DaemonError> {
        either!(self, daemon => daemon.build(job, mode, on_event).await)
    }

    async fn delete(&mut self, path: &StorePath) -> Result<bool, DaemonError> {
        either!(self, daemon => daemon.delete(path).await)
    }
}
