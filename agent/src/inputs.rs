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
/// Requests to fetch that are made at once for one build.
const FETCHES_AT_ONCE: usize = 4;
/// Inputs that `guix-daemon` is asked for in one request: it starts a process for each.
const BATCH: usize = 512;
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
        let is_absent = |input: &&Input| !input.available && missing.contains(&input.path);
        let absent: Vec<StorePath> = inputs.iter().filter(is_absent).map(|input| input.path.clone()).collect();
        if !absent.is_empty() {
            return Err(unavailable(absent, "the cache does not have them yet, and this store does not have them any more"));
        }
        self.fetch_all(hold, missing).await
    }

    /// Holds these paths, and says which of them are not in the store.
    pub async fn hold(&self, paths: &[&StorePath]) -> Result<(Hold, BTreeSet<StorePath>), Failure> {
        self.roots.hold(paths).await.map_err(|error| failure(&error))
    }

    /// Which inputs are gone after a build that failed: what was seen before is not believed.
    pub async fn look_again(&self, inputs: &[Input]) -> Vec<StorePath> {
        self.forget();
        let paths: Vec<&StorePath> = inputs.iter().map(|input| &input.path).collect();
        self.roots.hold(&paths).await.map(|(_, missing)| missing.into_iter().collect()).unwrap_or_default()
    }

    /// Lets go of what nobody holds, and of what was seen.
    pub fn forget(&self) {
        self.roots.forget();
    }

    /// Fetches what is missing. What a daemon refuses it may give when it is asked again.
    async fn fetch_all(&self, mut hold: Hold, mut missing: BTreeSet<StorePath>) -> Result<Hold, Failure> {
        let mut words = String::new();
        for pause in [0].into_iter().chain(FETCH_PAUSES_MILLIS) {
            if missing.is_empty() {
                return Ok(hold);
            }
            if pause > 0 {
                tracing::info!(missing = missing.len(), words, "inputs did not come; trying again");
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            let batch = if hold.needs_closure() { BATCH } else { 1 };
            words = self.fetch(&missing, batch).await.map_err(|error| failure(&error))?.unwrap_or(words);
            let (held, still_missing) = self.hold(&missing.iter().collect::<Vec<_>>()).await?;
            (hold, missing) = (hold.and(held), still_missing);
        }
        if missing.is_empty() { Ok(hold) } else { Err(unavailable(missing.into_iter().collect(), &words)) }
    }

    /// Fetches what it can, so many paths with each request, and gives the daemon's words about the last that it refused.
    async fn fetch(&self, missing: &BTreeSet<StorePath>, batch: usize) -> Result<Option<String>, DaemonError> {
        let paths: Vec<&StorePath> = missing.iter().collect();
        let batches: Vec<BTreeSet<StorePath>> =
            paths.chunks(batch).map(|paths| paths.iter().copied().cloned().collect()).collect();
        let fetches = stream::iter(batches).map(|paths| self.fetch_batch(paths)).buffer_unordered(FETCHES_AT_ONCE);
        fetches.try_fold(None, |before, words| async { Ok(words.or(before)) }).await
    }

    /// A refusal is no error here: what came is looked up afterwards.
    async fn fetch_batch(&self, paths: BTreeSet<StorePath>) -> Result<Option<String>, DaemonError> {
        let _alone = match self.met_cache.load(Ordering::Relaxed) {
            true => None,
            false => Some(self.meeting_cache.lock().await),
        };
        match self.ensure(&paths).await {
            Ok(()) => {
                self.met_cache.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(DaemonError::Daemon(words)) => Ok(Some(words)),
            Err(error) => Err(error),
        }
    }

    async fn ensure(&self, paths: &BTreeSet<StorePath>) -> Result<(), DaemonError> {
        loop {
            let mut daemon = self.fetching.take().await?;
            let limit = Duration::from_secs(FETCH_TIMEOUT_SECS * paths.len() as u64);
            match tokio::time::timeout(limit, daemon.ensure_all(paths)).await {
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

fn failure(error: &DaemonError) -> Failure {
    Failure::of(cause_of::of_error(error), error)
}

fn unavailable(missing: Vec<StorePath>, why: &str) -> Failure {
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let message = format!("inputs cannot be had: {}: {why}", names.join(", "));
    Failure::new(Cause::InputsUnavailable { missing }, message)
}
