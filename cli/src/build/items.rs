//! Where the items of a closure are read: in the store of this machine, and what that lacks, from elsewhere.
//!
//! What was fetched lies in a folder of its own until the command ends, named as it would be in the store, so that all
//! else reads files. It does not know which servers there are, nor how they are asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use drover_store::{Derivation, DrvPath, MAX_DRV_BYTES, StoreDir, StorePath};
use futures::future::BoxFuture;
use tempfile::TempDir;

use super::sources::Source;
use crate::exit::bad_input;

/// Servers that may have what the store of this machine lacks. An error is one that asking again does not mend.
pub(crate) trait Elsewhere: Send + Sync {
    /// The text of a derivation, of which nothing is believed; `None` where no server has it.
    fn derivation<'a>(&'a self, drv: &'a DrvPath) -> BoxFuture<'a, anyhow::Result<Option<Vec<u8>>>>;

    /// What a source is said to refer to; `None` where no server has it.
    fn source<'a>(&'a self, path: &'a StorePath) -> BoxFuture<'a, anyhow::Result<Option<Source>>>;

    /// Unpacks a source that was found to `to`, where nothing is.
    fn unpack<'a>(&'a self, path: &'a StorePath, to: &'a Path) -> BoxFuture<'a, anyhow::Result<()>>;
}

/// The items of one store directory.
#[derive(Clone)]
pub(crate) struct Items {
    store_dir: StoreDir,
    elsewhere: Option<Fetching>,
}

#[derive(Clone)]
struct Fetching {
    servers: Arc<dyn Elsewhere>,
    folder: Arc<TempDir>,
}

impl Items {
    /// Those of the store of this machine alone.
    pub(crate) fn of(store_dir: StoreDir) -> Self {
        Self { store_dir, elsewhere: None }
    }

    /// Those of the store of this machine, and beyond them what these servers have.
    pub(crate) fn and(self, servers: Arc<dyn Elsewhere>) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("drover-build-").tempdir().context("a folder for what is fetched")?;
        Ok(Self { elsewhere: Some(Fetching { servers, folder: Arc::new(folder) }), ..self })
    }

    /// Of which store.
    pub(crate) fn store_dir(&self) -> &StoreDir {
        &self.store_dir
    }

    /// Whether there is anything beyond this machine.
    pub(crate) fn has_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// The file or directory of an item: in the store, or where it is once it was fetched.
    pub(crate) fn file(&self, path: &StorePath) -> PathBuf {
        let in_store = PathBuf::from(self.store_dir.path(path));
        match &self.elsewhere {
            Some(fetching) if in_store.symlink_metadata().is_err() => fetching.folder.path().join(path.as_str()),
            _ => in_store,
        }
    }

    /// The text of a derivation that is on this disk; `None` where it must be fetched first.
    pub(crate) fn text(&self, drv: &DrvPath) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.file(drv);
        match crate::drv::read(&path) {
            Ok(bytes) if bytes.len() > MAX_DRV_BYTES => {
                Err(bad_input(format!("{}: larger than {MAX_DRV_BYTES} bytes", path.display())))
            }
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(bad_input(format!("{}: {error}", path.display()))),
        }
    }

    /// A derivation's text as a value.
    pub(crate) fn parse(&self, drv: &DrvPath, text: &[u8]) -> anyhow::Result<Derivation> {
        Derivation::parse(&self.store_dir, text).map_err(|error| bad_input(format!("{}: {error}", self.file(drv).display())))
    }

    /// Fetches a derivation that is not on this disk, and makes sure that it is the one of this name.
    pub(crate) async fn fetch_text(&self, drv: &DrvPath) -> anyhow::Result<()> {
        let text = match &self.elsewhere {
            Some(fetching) => fetching.servers.derivation(drv).await?,
            None => None,
        };
        let text = text.ok_or_else(|| self.nowhere(drv))?;
        let named = self.parse(drv, &text)?.path(&self.store_dir, drv.name_without_drv());
        if named.as_ref() != Ok(drv) {
            return Err(bad_input(format!("what a server has as {drv} is another derivation")));
        }
        let path = self.file(drv);
        tokio::fs::write(&path, text).await.with_context(|| path.display().to_string())
    }

    /// What a source that the store of this machine lacks refers to, as a server says.
    pub(crate) async fn source(&self, path: &StorePath) -> anyhow::Result<Option<Source>> {
        match &self.elsewhere {
            Some(fetching) => fetching.servers.source(path).await,
            None => Ok(None),
        }
    }

    /// Makes sure that a source is on this disk. The guard removes what was fetched for it.
    pub(crate) async fn hold(&self, path: &StorePath) -> anyhow::Result<Held> {
        let file = self.file(path);
        let Some(fetching) = self.elsewhere.as_ref().filter(|fetching| file.starts_with(fetching.folder.path())) else {
            return Ok(Held { file, fetched: false });
        };
        let held = Held { file, fetched: true };
        fetching.servers.unpack(path, &held.file).await?;
        Ok(held)
    }

    /// The error for a derivation that nobody has.
    pub(crate) fn nowhere(&self, drv: &DrvPath) -> anyhow::Error {
        let path = self.store_dir.path(drv);
        if self.has_elsewhere() {
            return bad_input(format!("{path} is neither in the store of this machine nor on any --derivation-substitute-url"));
        }
        bad_input(format!(
            "{path}: No such file. The whole closure of a derivation must be in the store of this machine: evaluate it here, or \
             copy it here, or name a server that has it by --derivation-substitute-url, then try again"
        ))
    }
}

/// A source on this disk.
pub(crate) struct Held {
    /// Where.
    pub(crate) file: PathBuf,
    fetched: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.fetched {
            // What stays goes with the whole folder.
            let _ = std::fs::remove_dir_all(&self.file).or_else(|_| std::fs::remove_file(&self.file));
        }
    }
}
