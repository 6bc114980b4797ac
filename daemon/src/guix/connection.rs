//! One conversation with a `guix-daemon`.

use std::collections::BTreeSet;
use std::path::Path;

use drover_store::{StoreDir, StorePath};

use crate::conversation::Conversation;
use crate::{BuildMode, BuildResult, DaemonError, Dialect, Event, Job, Options, PathInfo, ProtocolVersion, StoreDaemon};

/// One conversation with a `guix-daemon`; see [`StoreDaemon`].
#[derive(Debug)]
pub struct Connection {
    pub(super) talk: Conversation,
    /// What the daemon was told last, if anything.
    pub(super) options: Option<Options>,
}

impl Connection {
    pub(crate) fn new(talk: Conversation) -> Self {
        Self { talk, options: None }
    }
}

impl StoreDaemon for Connection {
    fn dialect(&self) -> Dialect {
        Dialect::Guix
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
        None
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
        self.fetch(path).await
    }

    async fn ensure_all(&mut self, paths: &BTreeSet<StorePath>) -> Result<(), DaemonError> {
        self.fetch_all(paths).await
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
        self.build_things(job, mode, on_event).await
    }

    async fn delete(&mut self, path: &StorePath) -> Result<bool, DaemonError> {
        self.talk.delete(path).await
    }
}
