//! The first stage, off the slot: all inputs are in the store, or it is known that they cannot be had.
//!
//! What the cache has is fetched by the store daemon. What it does not have yet must be here, built by an agent of this
//! store. This knows nothing of derivations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drover_daemon::{DaemonError, StoreDaemon};
use drover_messages::Cause;
use drover_messages::offer::Input;
use drover_store::StorePath;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use crate::cause_of;
use crate::daemon_pool::DaemonPool;
use crate::failure::Failure;
use crate::temp_roots::{Hold, TempRoots};

/// How long one input may take to come, in seconds: some have many gigabytes.
const FETCH_TIMEOUT_SECS: u64 = 3600;
/// Inputs of one build that are fetched at once.
const FETCHES_AT_ONCE: usize = 4;
/// Before another try, in milliseconds: first one at once, for a process of the daemon that remembers what is no longer
/// so, then some for a cache that may be starting anew.
const FETCH_PAUSES_MILLIS: [u64; 3] = [50, 1000, 2000];

/// How inputs come.
#[derive(Debug)]
pub struct Inputs {
    roots: TempRoots,
    fetching: Arc<DaemonPool>,
    /// Whether the daemon has fetched something. Until then one fetch goes alone: each process of Nix 2.8 that meets a
    /// cache for the first time writes it down anew, and what the others know of it breaks.
    met_cache: AtomicBool,
    meeting_cache: Mutex<()>,
}

impl Inputs {
    /// `building` connections look into the store, `fetching` ones may substitute.
    pub fn new(building: Arc<DaemonPool>, fetching: Arc<DaemonPool>) -> Self {
        Self { roots: TempRoots::new(building), fetching, met_cache: AtomicBool::new(false), meeting_cache: Mutex::new(()) }
    }

    /// Makes sure of all inputs. They stay in the store while the hold lives.
    pub async fn gather(&self, inputs: &[Input]) -> Result<Hold, Failure> {
        let paths: Vec<&StorePath> = inputs.iter().map(|input| &input.path).collect();
        let (hold, missing) = self.hold(&paths).await?;
        if missing.is_empty() {
            return Ok(hold);
        }
        let absent: Vec<StorePath> =
            inputs.iter().filter(|input| !input.available && missing.contains(&input.path)).map(|i| i.path.clone()).collect();
        if !absent.is_empty() {
            return Err(unavailable(absent, "the cache does not have them yet, and this store does not have them any more"));
        }
        let words = self.fetch_all(&missing).await?;
        match self.hold(&paths).await? {
            (hold, missing) if missing.is_empty() => Ok(hold),
            (_, missing) => Err(unavailable(missing.into_iter().collect(), &words)),
        }
    }

    /// Which inputs are gone after a build that failed: what was seen before is not believed.
    pub async fn look_again(&self, inputs: &[Input]) -> Vec<StorePath> {
        self.roots.forget();
        let paths: Vec<&StorePath> = inputs.iter().map(|input| &input.path).collect();
        self.roots.hold(&paths).await.map(|(_, missing)| missing.into_iter().collect()).unwrap_or_default()
    }

    async fn hold(&self, paths: &[&StorePath]) -> Result<(Hold, BTreeSet<StorePath>), Failure> {
        self.roots.hold(paths).await.map_err(|error| Failure::of(cause_of::of_error(&error), &error))
    }

    /// Fetches what it can, and gives the daemon's words about the last that could not be.
    async fn fetch_all(&self, missing: &BTreeSet<StorePath>) -> Result<String, Failure> {
        let fetches = stream::iter(missing.clone()).map(|path| self.fetch(path)).buffer_unordered(FETCHES_AT_ONCE);
        let refused = fetches.try_fold(String::new(), |before, words| async { Ok(words.unwrap_or(before)) });
        refused.await.map_err(|error| Failure::of(cause_of::of_error(&error), &error))
    }

    /// Fetches one path. The daemon's refusal is no error here: whether the path came is looked up afterwards.
    async fn fetch(&self, path: StorePath) -> Result<Option<String>, DaemonError> {
        for pause in FETCH_PAUSES_MILLIS {
            match self.fetch_once(&path).await {
                Ok(()) => return Ok(None),
                Err(DaemonError::Daemon(words)) => tracing::info!(%path, words, "an input did not come; trying again"),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        match self.fetch_once(&path).await {
            Ok(()) => Ok(None),
            Err(DaemonError::Daemon(words)) => Ok(Some(words)),
            Err(error) => Err(error),
        }
    }

    async fn fetch_once(&self, path: &StorePath) -> Result<(), DaemonError> {
        if self.met_cache.load(Ordering::Relaxed) {
            return self.ensure(path).await;
        }
        let _alone = self.meeting_cache.lock().await;
        let fetched = self.ensure(path).await;
        self.met_cache.fetch_or(fetched.is_ok(), Ordering::Relaxed);
        fetched
    }

    async fn ensure(&self, path: &StorePath) -> Result<(), DaemonError> {
        loop {
            let mut daemon = self.fetching.take().await?;
            let limit = Duration::from_secs(FETCH_TIMEOUT_SECS);
            match tokio::time::timeout(limit, daemon.ensure(path)).await {
                Err(_) => return Err(DaemonError::Timeout { what: "an input", limit }),
                Ok(Err(error)) if daemon.went_stale(&error) => {}
                Ok(Err(refused @ DaemonError::Daemon(_))) => {
                    // The next try is another process's: this one may have its refusal from memory.
                    daemon.close();
                    return Err(refused);
                }
                Ok(fetched) => return fetched,
            }
        }
    }
}

fn unavailable(missing: Vec<StorePath>, why: &str) -> Failure {
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let message = format!("inputs cannot be had: {}: {why}", names.join(", "));
    Failure::new(Cause::InputsUnavailable { missing }, message)
}
