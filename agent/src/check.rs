//! What a check found to differ: brought to the bucket for whoever compares, and taken out of the store.
//!
//! The daemon leaves the output that came out differently beside the valid one and names it in its words. It stops at the
//! first that differs, so there may be others of which nobody knows. Evidence that cannot be kept, or removed, does not
//! change what the check found.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drover_bucket::{Bucket, Key, Put};
use drover_daemon::StoreDaemon;
use drover_messages::offer::Offer;
use drover_messages::report::Kept;
use drover_messages::request::Nar;
use drover_store::{Derivation, OutputName, StoreDir, StorePath};

use crate::backoff::Backoff;
use crate::cause_of::words;
use crate::daemon_pool::DaemonPool;
use crate::dump::{DumpError, Dumped, dump_to};

/// How often an output is brought to the bucket, before the check is reported without it.
const TRIES: u32 = 5;
/// How often it is tried to delete it: processes of the daemon that met it, or the valid output whose hash part it shares,
/// keep it alive for a moment longer.
const DELETIONS: u32 = 20;
/// Between those, in milliseconds.
const DELETION_PAUSE_MILLIS: u64 = 100;

/// Keeps evidence.
#[derive(Debug, Clone)]
pub struct Evidence {
    bucket: Bucket,
    store_dir: StoreDir,
    daemons: Arc<DaemonPool>,
}

impl Evidence {
    /// Out of this store, into this bucket.
    pub fn new(bucket: Bucket, store_dir: StoreDir, daemons: Arc<DaemonPool>) -> Self {
        Self { bucket, store_dir, daemons }
    }

    /// Keeps the output of which the daemon says, in these words, that it came out differently, and says where that lies in
    /// the store.
    pub async fn keep(&self, offer: &Offer, derivation: &Derivation, told: &str) -> Option<(StorePath, Option<Kept>)> {
        let dialect = self.daemons.take().await.ok()?.dialect();
        // One of an earlier check may lie there still; only what is named is of this one.
        let mut outputs = derivation.outputs.iter();
        let (name, path, differing) = outputs.find_map(|(name, output)| {
            let differing = dialect.differing(&output.path)?;
            told.contains(&self.store_dir.path(&differing)).then_some((name, &output.path, differing))
        })?;
        let kept = self.bring(offer, name, path, &differing).await;
        Some((differing, kept))
    }

    async fn bring(&self, offer: &Offer, name: &OutputName, path: &StorePath, differing: &StorePath) -> Option<Kept> {
        let key = Key::Kept { build: offer.build, attempt: offer.attempt, item: path.into() };
        let mut backoff = Backoff::default();
        for _ in 0..TRIES {
            match self.dump(&key, differing).await {
                Ok(dumped) => return Some(Kept { name: name.clone(), path: path.clone(), nar: nar(&key, dumped) }),
                Err(error) => tracing::warn!(%differing, error = words(&error), "what a check made is not in the bucket"),
            }
            backoff.wait().await;
        }
        None
    }

    /// An attempt that a killed agent began, and this one began anew, replaces what was kept: it came out differently again.
    async fn dump(&self, key: &Key, differing: &StorePath) -> Result<Dumped, DumpError> {
        let file = self.store_dir.path(differing);
        loop {
            match dump_to(&self.bucket, key, file.as_ref(), None).await? {
                (dumped, Put::Created) => return Ok(dumped),
                (_, Put::Existed) => self.bucket.delete(key).await?,
            }
        }
    }

    /// Deletes what came out differently, if nothing keeps it alive for long; a later collection of garbage does it, too.
    pub async fn remove(&self, differing: &StorePath) {
        for _ in 0..DELETIONS {
            self.daemons.clear();
            let deleted = match self.daemons.take().await {
                Ok(mut daemon) => daemon.delete(differing).await,
                Err(error) => Err(error),
            };
            match deleted {
                Ok(true) => return,
                Ok(false) => tokio::time::sleep(Duration::from_millis(DELETION_PAUSE_MILLIS)).await,
                Err(error) => return tracing::warn!(%differing, %error, "what a check made stays in the store"),
            }
        }
        tracing::info!(%differing, "what a check made stays in the store until the next collection of garbage");
    }
}

/// The folder of a build that failed, which a daemon keeps with the outputs that differ when it says so in these words.
/// Nobody will look at it.
pub fn kept_folder(words: &str) -> Option<PathBuf> {
    let (_, named) = words.split_once("keeping build directory ")?;
    let mut folder = Path::new(named.trim_matches(['`', '\'', '"']));
    if ["build", "top"].iter().any(|inner| folder.ends_with(inner)) {
        folder = folder.parent()?;
    }
    let name = folder.file_name()?.to_str()?;
    let numbered = name.strip_prefix("nix-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_its_own = numbered || name.starts_with("nix-build-") || name.starts_with("guix-build-");
    (is_its_own && folder.is_absolute()).then(|| folder.into())
}

fn nar(key: &Key, dumped: Dumped) -> Nar {
    Nar {
        key: key.to_string(),
        nar_hash: dumped.nar.sha256,
        nar_size: dumped.nar.size,
        file_hash: dumped.file.sha256,
        file_size: dumped.file.size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_builds_are_taken_for_such() {
        let folder = |path| kept_folder(&format!("note: keeping build directory {path}")).map(|path| path.display().to_string());
        let kept = |path: &str| Some(path.to_owned());
        assert_eq!(folder("`/tmp/guix-build-x.drv-0'"), kept("/tmp/guix-build-x.drv-0"));
        assert_eq!(folder("`/tmp/guix-build-x.drv-0/top'"), kept("/tmp/guix-build-x.drv-0"));
        assert_eq!(folder("'/tmp/nix-build-x.drv-0'"), kept("/tmp/nix-build-x.drv-0"));
        assert_eq!(folder("\"/nix/var/nix/builds/nix-101-7377/build\""), kept("/nix/var/nix/builds/nix-101-7377"));
        for other in ["'/'", "'/home'", "'/nix/store'", "'/build'", "'nix-build-x.drv-0'"] {
            assert_eq!(folder(other), None, "{other}");
        }
        assert_eq!(kept_folder("hash mismatch"), None);
    }
}
