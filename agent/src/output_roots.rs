//! Links that keep outputs in the store until the scheduler has settled their attempt: the right to upload again.
//!
//! A link is an indirect root of the daemon, so that it holds also while no agent runs. It is named by attempt and output.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use drover_daemon::DaemonError;
use drover_messages::AttemptId;
use drover_store::{OutputName, StoreDir, StorePath};

use crate::daemon_pool::DaemonPool;

/// Characters of an id.
const ID_CHARS: usize = 36;

/// The folder of links.
#[derive(Debug)]
pub struct OutputRoots {
    dir: PathBuf,
    store_dir: StoreDir,
    daemons: Arc<DaemonPool>,
    kept: Mutex<BTreeMap<AttemptId, BTreeSet<PathBuf>>>,
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
        Self { dir, store_dir, daemons, kept: Mutex::default() }
    }

    /// Keeps one output of an attempt. Done twice it is done once.
    pub async fn keep(&self, attempt: AttemptId, name: &OutputName, path: &StorePath) -> Result<(), RootError> {
        let link = self.dir.join(format!("{attempt}-{name}"));
        self.note(attempt, link.clone());
        match symlink(self.store_dir.path(path), &link) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => return Err(RootError::Link { link, source }),
            _ => {}
        }
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
        let links = self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
        for link in links.into_iter().flatten() {
            match fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(link = %link.display(), %error, "an output stays in the store: its root cannot be removed");
                }
                _ => {}
            }
        }
    }

    /// Takes over the links of the process before, and lets go those of attempts that are not held: that was killed
    /// between two steps.
    pub fn recover(&self, held: &BTreeSet<AttemptId>) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let attempt = name.to_str().and_then(|name| name.get(..ID_CHARS)).and_then(|id| id.parse().ok());
            let Some(attempt) = attempt else { continue };
            self.note(attempt, entry.path());
            if !held.contains(&attempt) {
                self.release(attempt);
            }
        }
        Ok(())
    }

    fn note(&self, attempt: AttemptId, link: PathBuf) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).entry(attempt).or_default().insert(link);
    }
}

#[cfg(test)]
mod tests {
    use drover_daemon::{DaemonConfig, Options};

    use super::*;

    #[test]
    fn roots_of_the_process_before_are_taken_over_and_those_that_nobody_holds_are_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let daemons = DaemonPool::new(DaemonConfig::new("/nowhere", StoreDir::nix()), Options::default(), 1);
        let roots = OutputRoots::new(dir.path().to_owned(), StoreDir::nix(), Arc::new(daemons));
        let (held, left) = (AttemptId::new(), AttemptId::new());
        let link = |attempt: AttemptId| dir.path().join(format!("{attempt}-out"));
        for attempt in [held, left] {
            symlink("/nix/store/x", link(attempt)).unwrap();
        }
        roots.recover(&BTreeSet::from([held])).unwrap();
        assert!(link(held).is_symlink() && !link(left).is_symlink());
        roots.release(held);
        assert!(!link(held).is_symlink());
    }
}
