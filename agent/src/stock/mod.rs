//! What the store holds, for the scheduler, so that builds go where their inputs are. It is a hint, and nothing hangs on
//! it: where the store's folder cannot be read, nothing is told.

mod folder;
mod told;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use drover_messages::Fingerprint;
use drover_store::{StoreDir, StorePath};

use folder::Folder;
use told::Told;

pub use told::News;

/// What went is told no sooner than after so many looks: a garbage collector takes its time.
const LOOKS_AT_A_LOSS: u32 = 10;

/// So many times as long as a look took is rested after it: a large store that changes all the time is looked at less often.
const REST_PER_LOOK: u32 = 50;

/// A store, as it is looked at from time to time.
#[derive(Debug)]
pub struct Stock {
    store_dir: StoreDir,
    look_every: Duration,
    told: Mutex<Told>,
}

impl Stock {
    /// Not looked at yet, and never if `look_every` is zero.
    pub fn new(store_dir: StoreDir, look_every: Duration) -> Self {
        Self { store_dir, look_every, told: Mutex::default() }
    }

    /// Looks at the store, for ever. It costs one look at the folder itself while that does not change.
    pub async fn watch(&self) {
        if self.look_every.is_zero() {
            std::future::pending::<()>().await;
        }
        let mut folder = Folder::of(&self.store_dir);
        loop {
            self.told().looking();
            let began = Instant::now();
            match self.look(folder).await {
                Ok(looked) => folder = looked,
                Err(error) => {
                    tracing::debug!(%error, "what the store holds is not known");
                    folder = Folder::of(&self.store_dir);
                }
            }
            let took = began.elapsed();
            self.told().refresh(self.look_every * LOOKS_AT_A_LOSS, Instant::now());
            tokio::time::sleep(self.look_every.max(took * REST_PER_LOOK)).await;
        }
    }

    /// Beside the threads that others wait for: a large store takes a while.
    async fn look(&self, mut folder: Folder) -> io::Result<Folder> {
        let looked = tokio::task::spawn_blocking(move || folder.read_if_changed().map(|found| (folder, found)));
        let (folder, found) = looked.await.map_err(io::Error::other)??;
        if let Some(items) = found {
            tracing::debug!(items = items.len(), "looked at the store");
            self.told().found(items, Instant::now());
        }
        Ok(folder)
    }

    /// These are in the store.
    pub fn hear_of<'a>(&self, paths: impl Iterator<Item = &'a StorePath>) {
        self.told().hear_of(paths.map(Fingerprint::of), Instant::now());
    }

    /// What a beat is to tell.
    pub fn news(&self) -> News {
        self.told().news()
    }

    /// What hello is to tell.
    pub fn everything(&self) -> News {
        self.told().everything()
    }

    /// These news were answered.
    pub fn was_answered(&self, news: &News) {
        self.told().was_answered(news);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
