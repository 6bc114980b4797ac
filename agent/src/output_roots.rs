//! Links that keep outputs in the store until the scheduler has settled their attempt: the right to upload again.
//!
//! A link is an indirect root of the daemon, so that it holds also while no agent runs. Each attempt has a folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drover_daemon::DaemonError;
use drover_messages::AttemptId;
use drover_store::{OutputName, StoreDir, StorePath};

use crate::daemon_pool::DaemonPool;

/// The folder of links.
#[derive(Debug)]
pub struct OutputRoots {
    dir: PathBuf,
    store_dir: StoreDir,
    daemons: Arc<DaemonPool>,
}

/// Why an output is not kept. It may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The state directory does not take the link.
    #[error("cannot make the link {}", link.display())]
    Link {
        /// The link.
        link: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon does not take it for a root.
    #[error("cannot make a root")]
    Daemon(#[from] DaemonError),
}

impl OutputRoots {
    /// Links in this folder, which exists; its path is absolute.
    pub fn new(dir: PathBuf, store_dir: StoreDir, daemons: Arc<DaemonPool>) -> Self {
        Self { dir, store_dir, daemons }
    }

    /// Keeps one output of an attempt. Done twice it is done once.
    pub async fn keep(&self, attempt: AttemptId, name: &OutputName, path: &StorePath) -> Result<(), RootError> {
        let link = self.folder(attempt).join(name.as_str());
        link_to(&link, &self.store_dir.path(path)).map_err(|source| RootError::Link { link: link.clone(), source })?;
        loop {
            let mut daemon = self.daemons.take().await?;
            match daemon.add_indirect_root(&link).await {
                Err(error) if daemon.went_stale(&error) => {}
                rooted => return Ok(rooted?),
            }
        }
    }

    /// Lets the outputs of an attempt go.
    pub fn release(&self, attempt: AttemptId) {
        match fs::remove_dir_all(self.folder(attempt)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%attempt, %error, "outputs stay in the store: their roots cannot be removed");
            }
            _ => {}
        }
    }

    /// Lets go what belongs to none of these: left by a process that was killed between two steps.
    pub fn sweep(&self, held: &BTreeSet<AttemptId>) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let attempt: Option<AttemptId> = name.to_str().and_then(|name| name.parse().ok());
            if let Some(attempt) = attempt.filter(|attempt| !held.contains(attempt)) {
                self.release(attempt);
            }
        }
        Ok(())
    }

    fn folder(&self, attempt: AttemptId) -> PathBuf {
        self.dir.join(attempt.to_string())
    }
}

fn link_to(link: &Path, target: &str) -> io::Result<()> {
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)?;
    }
    match symlink(target, link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use drover_daemon::{DaemonConfig, Options};

    use super::*;

    #[test]
    fn only_roots_that_nobody_holds_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let daemons = DaemonPool::new(DaemonConfig::new("/nowhere", StoreDir::nix()), Options::default(), 1);
        let roots = OutputRoots::new(dir.path().to_owned(), StoreDir::nix(), Arc::new(daemons));
        let (held, left) = (AttemptId::new(), AttemptId::new());
        for attempt in [held, left] {
            link_to(&roots.folder(attempt).join("out"), "/nix/store/x").unwrap();
        }
        roots.sweep(&BTreeSet::from([held])).unwrap();
        assert!(roots.folder(held).join("out").is_symlink());
        assert!(!roots.folder(left).exists());
    }
}
