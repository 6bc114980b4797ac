//! Whether this machine's daemon fetches what the farm publishes: tried with a small signed item that every cache of the farm
//! has, before builds are taken, and again when inputs did not come.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use drover_bucket::{Bucket, BucketError, Key};
use drover_daemon::{Connection, DaemonError, StoreDaemon};
use drover_store::{Family, StorePath};
use drover_substituter::{Server, ServerUrl};
use tokio::time::timeout;

use crate::cause_of::words;
use crate::config::Config;

/// The name of the probe and the keys of a cache are no longer than this, in bytes.
const MAX_TEXT_BYTES: u64 = 64 << 10;
/// How long the item may take to come.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to delete it.
const DELETE_TIMEOUT: Duration = Duration::from_secs(20);
/// What is known stays so for as long: failures come in swarms, and each try is a collection of garbage.
const BELIEVE_FOR: Duration = Duration::from_secs(60);

/// The try.
#[derive(Debug)]
pub struct Probe {
    config: Arc<Config>,
    bucket: Bucket,
    worked: Mutex<Option<Instant>>,
}

impl Probe {
    /// It has not been tried yet.
    pub fn new(config: Arc<Config>, bucket: Bucket) -> Self {
        Self { config, bucket, worked: Mutex::default() }
    }

    /// Tries, unless it has worked.
    ///
    /// # Errors
    /// With the reason, in words, and what an operator can do about it.
    pub async fn look(&self) -> Result<(), String> {
        let Some(cache) = self.config.substitute_urls.first() else { return Ok(()) };
        if self.worked().is_some() {
            return Ok(());
        }
        let path = self.path().await?;
        match timeout(FETCH_TIMEOUT, self.fetch(&path)).await {
            Err(_) => return Err(format!("{path} did not come from {cache} within {} s", FETCH_TIMEOUT.as_secs())),
            Ok(Err(error)) => return Err(self.explain(cache, &path, &error).await),
            Ok(Ok(())) => *self.worked() = Some(Instant::now()),
        }
        Ok(())
    }

    /// Tries again at the next look.
    pub fn doubt(&self) {
        let mut worked = self.worked();
        *worked = worked.filter(|when| when.elapsed() < BELIEVE_FOR);
    }

    async fn path(&self) -> Result<StorePath, String> {
        let store_dir = &self.config.store_dir;
        let text = match self.text(&Key::Probe(store_dir.clone())).await {
            Ok(text) => text,
            Err(error) if error.is_not_found() => {
                let why = "is a publish worker running that has a key for it?";
                return Err(format!("the cache of {store_dir} has nothing yet to try it with: {why}"));
            }
            Err(error) => return Err(format!("the bucket does not say what to try the cache with: {}", words(&error))),
        };
        store_dir.parse(text.trim()).map_err(|error| format!("what the bucket says to try the cache with is none: {error}"))
    }

    async fn fetch(&self, path: &StorePath) -> Result<(), DaemonError> {
        self.delete(path).await?;
        let mut daemon = self.connect().await?;
        daemon.ensure(path).await?;
        // A daemon of Guix may say that all is well when it did nothing.
        match daemon.is_valid(path).await? {
            true => Ok(()),
            false => Err(DaemonError::Daemon(format!("{path} did not come"))),
        }
    }

    /// On a connection of its own: the process behind one keeps in the store what it has met.
    async fn delete(&self, path: &StorePath) -> Result<(), DaemonError> {
        let mut daemon = self.connect().await?;
        if !daemon.is_valid(path).await? {
            return Ok(());
        }
        match timeout(DELETE_TIMEOUT, daemon.delete(path)).await {
            // Something keeps it alive, or garbage is collected at length. That it came here once must do.
            Ok(Ok(_) | Err(DaemonError::Daemon(_))) | Err(_) => Ok(()),
            Ok(Err(error)) => Err(error),
        }
    }

    async fn connect(&self) -> Result<Connection, DaemonError> {
        let mut daemon = Connection::connect(&self.config.daemon()).await?;
        daemon.set_options(&self.config.fetching(&Default::default())).await?;
        Ok(daemon)
    }

    /// Whether it is the cache, or the daemon that does not believe it.
    async fn explain(&self, cache: &str, path: &StorePath, error: &DaemonError) -> String {
        if let Err(why) = self.served(cache, path).await {
            return why;
        }
        let said = words(error);
        match (error, self.config.store_dir.family()) {
            (DaemonError::Daemon(_), Family::Nix) => {
                let keys = self.text(&Key::PublicKeys(self.config.store_dir.clone())).await.unwrap_or_default();
                let keys = keys.split_whitespace().collect::<Vec<_>>().join(",");
                format!("the store daemon takes nothing from {cache}: name its key by --trusted-public-key {keys} ({said})")
            }
            (DaemonError::Daemon(_), Family::Guix) => {
                let how = "see drover key authorize-hint, and guix archive --authorize";
                format!("the store daemon takes nothing from {cache}: its key must stand in /etc/guix/acl, {how} ({said})")
            }
            _ => said,
        }
    }

    /// Whether the cache has the item, as far as that can be asked: Nix knows more kinds of servers than we do.
    async fn served(&self, cache: &str, path: &StorePath) -> Result<(), String> {
        let Some(server) = cache.parse::<ServerUrl>().ok().and_then(|url| Server::new(url).ok()) else { return Ok(()) };
        match server.narinfo(&self.config.store_dir, path).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(format!("the cache at {cache} does not have {path}: does it serve this farm's bucket?")),
            Err(error) => Err(format!("the cache cannot be used: {}", words(&error))),
        }
    }

    async fn text(&self, key: &Key) -> Result<String, BucketError> {
        let bytes = self.bucket.get(key, MAX_TEXT_BYTES).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn worked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.worked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
