//! Which items the cache serves, as far as this worker knows. Only presence is remembered: absence ends.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use drover_bucket::{Bucket, BucketError, HashPart, Key};
use drover_store::{StoreDir, StorePath};
use futures::{StreamExt, TryStreamExt};

/// Items that are remembered, at most; about 100 bytes each.
pub const MAX_REMEMBERED: usize = 200_000;
/// Questions to the bucket at once, of one request.
const LOOKUPS_IN_FLIGHT: usize = 16;

type Item = (StoreDir, HashPart);

/// A bounded memory of what is there, over the bucket.
pub struct Available {
    bucket: Bucket,
    seen: Mutex<Seen>,
}

/// Two halves: when the young one is full it becomes the old one, and the old one is forgotten, but for what was
/// asked for meanwhile.
struct Seen {
    max_young: usize,
    young: HashSet<Item>,
    old: HashSet<Item>,
}

impl Seen {
    fn new(max: usize) -> Self {
        Self { max_young: max / 2, young: HashSet::new(), old: HashSet::new() }
    }

    fn add(&mut self, item: Item) {
        if self.young.len() >= self.max_young {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(item);
    }

    fn has(&mut self, item: &Item) -> bool {
        if self.young.contains(item) {
            return true;
        }
        let known = self.old.remove(item);
        if known {
            self.add(item.clone());
        }
        known
    }
}

impl Available {
    /// Knows nothing yet.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, seen: Mutex::new(Seen::new(MAX_REMEMBERED)) }
    }

    /// Remembers that the cache serves an item.
    pub fn add(&self, store: &StoreDir, path: &StorePath) {
        self.lock().add((store.clone(), path.into()));
    }

    /// Those of `paths` that the cache does not serve.
    pub async fn missing(
        &self,
        store: &StoreDir,
        paths: impl Iterator<Item = &StorePath>,
    ) -> Result<Vec<StorePath>, BucketError> {
        let unknown: Vec<StorePath> = {
            let mut seen = self.lock();
            paths.filter(|path| !seen.has(&(store.clone(), (*path).into()))).cloned().collect()
        };
        let lookups = futures::stream::iter(unknown).map(|path| self.absent(store, path)).buffered(LOOKUPS_IN_FLIGHT);
        lookups.try_filter_map(|path| std::future::ready(Ok(path))).try_collect().await
    }

    /// The path, if the bucket says that it is not there.
    async fn absent(&self, store: &StoreDir, path: StorePath) -> Result<Option<StorePath>, BucketError> {
        let there = self.bucket.exists(&Key::NarInfo(store.clone(), (&path).into())).await?;
        if there {
            self.add(store, &path);
        }
        Ok((!there).then_some(path))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: usize) -> Item {
        let mut hash = [0; 20];
        hash[..8].copy_from_slice(&n.to_le_bytes());
        (StoreDir::nix(), (&StorePath::from_parts(&hash, "x").unwrap()).into())
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_asked_for() {
        let mut seen = Seen::new(100);
        for n in 0..1000 {
            seen.add(item(n));
            assert!(seen.has(&item(0)));
        }
        assert!(seen.young.len() + seen.old.len() <= 100);
        assert!(!seen.has(&item(1)));
    }
}
