//! One server that is asked: with what it was found to have, and with rest when it is silent.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use drover_store::{StoreDir, StorePath};
use drover_substituter::{QUESTIONS_AT_ONCE, Server, SubstituterError, Trust};
use futures::{StreamExt, stream};
use tokio::time::sleep_until;

use super::Memory;

/// How long a server that could not be reached is not asked.
const REST: Duration = Duration::from_secs(15);

/// A server, and what is known of it.
pub(super) struct Asked {
    server: Server,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    memory: Memory,
    rests_until: Option<Instant>,
    /// It was said aloud that it has things that no trusted key signed, and that it says what is of no use.
    told_of_keys: bool,
    told_of_nonsense: bool,
}

impl Asked {
    pub(super) fn new(server: Server) -> Self {
        Self { server, known: Mutex::default() }
    }

    pub(super) fn url(&self) -> &str {
        self.server.url().as_str()
    }

    /// Which of these it has, as far as that can be learned by `deadline`.
    pub(super) async fn look(
        &self,
        store_dir: &StoreDir,
        paths: &BTreeSet<StorePath>,
        trust: &Trust,
        deadline: Instant,
    ) -> BTreeSet<StorePath> {
        if !self.is_of(store_dir).await {
            return BTreeSet::new();
        }
        let answers = stream::iter(paths.clone()).map(|path| async move {
            let has = self.has(store_dir, &path, trust).await;
            has.then_some(path)
        });
        let in_time = answers.buffer_unordered(QUESTIONS_AT_ONCE).take_until(sleep_until(deadline.into()));
        in_time.filter_map(std::future::ready).collect().await
    }

    async fn is_of(&self, store_dir: &StoreDir) -> bool {
        if self.rests() {
            return false;
        }
        match self.server.info().await {
            Ok(info) => info.store_dir == *store_dir,
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    async fn has(&self, store_dir: &StoreDir, path: &StorePath, trust: &Trust) -> bool {
        if self.known().memory.has(path, Instant::now()) {
            return true;
        }
        if self.rests() {
            return false;
        }
        match self.server.narinfo(store_dir, path).await {
            Ok(None) => false,
            Ok(Some(info)) if trust.accepts(store_dir, &info) => {
                self.known().memory.found(path, Instant::now());
                true
            }
            Ok(Some(_)) => {
                self.is_not_trusted(path);
                false
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn is_not_trusted(&self, path: &StorePath) {
        let url = self.url();
        if !std::mem::replace(&mut self.known().told_of_keys, true) {
            tracing::warn!(url, %path, "none of the trusted keys signed what this server has; nothing of that kind counts");
        }
    }

    fn failed(&self, error: &SubstituterError) {
        if !error.is_transient() {
            if !std::mem::replace(&mut self.known().told_of_nonsense, true) {
                tracing::warn!(url = self.url(), %error, "this answer is of no use; such things count as absent");
            }
            return;
        }
        let already = self.rests();
        self.known().rests_until = Some(Instant::now() + REST);
        if !already {
            tracing::warn!(url = self.url(), %error, rest_secs = REST.as_secs(), "this server counts as empty for a while");
        }
    }

    fn rests(&self) -> bool {
        self.known().rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Nothing that panics is done while it is locked.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
