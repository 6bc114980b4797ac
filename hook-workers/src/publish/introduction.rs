//! What makes a folder of the bucket a cache: what it says of itself, the keys that it is signed with, and a probe.
//!
//! The probe is a small item that agents fetch before they take builds, to see whether they can. It is signed, and
//! its path does not follow from its content: else a daemon might take it unsigned. Other keys make another probe, so that
//! whoever has it has believed these.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use drover_bucket::{Bucket, BucketError, Key};
use drover_store::{NarSummary, Sha256, StoreDir, StorePath, nar};

use super::PublishError;
use super::shelf::{Item, Shelf};

/// What every cache says of itself, after its store directory: that it is asked for many paths at once, and before
/// the caches of whole distributions, whose priority is 40.
const CACHE_INFO: &str = "WantMassQuery: 1\nPriority: 30\n";
const PROBE_NAME: &str = "drover-probe";
const PROBE_TEXT: &str = "This came from the cache of a Drover farm, so whatever else is there can come too.\n";
/// The longest text of those that are replaced, in bytes.
const MAX_TEXT_BYTES: u64 = 64 << 10;

/// The caches that were introduced, by this process.
#[derive(Default)]
pub(super) struct Introduction {
    done: Mutex<BTreeSet<StoreDir>>,
}

impl Introduction {
    /// Makes a cache a cache, once.
    pub(super) async fn of(&self, shelf: &Shelf, store: &StoreDir) -> Result<(), PublishError> {
        if self.done.lock().unwrap_or_else(PoisonError::into_inner).contains(store) {
            return Ok(());
        }
        let (bucket, keys) = (&shelf.bucket, shelf.keys.public(store)?);
        let info = format!("StoreDir: {store}\n{CACHE_INFO}");
        bucket.put_once(&Key::CacheInfo(store.clone()), info.into()).await?;
        replace(bucket, &Key::PublicKeys(store.clone()), &keys).await?;
        let probe = put_probe(shelf, store, &keys).await?;
        replace(bucket, &Key::Probe(store.clone()), &format!("{}\n", store.path(&probe))).await?;
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(store.clone());
        Ok(())
    }
}

async fn put_probe(shelf: &Shelf, store: &StoreDir, keys: &str) -> Result<StorePath, PublishError> {
    let digest = Sha256::of(format!("{PROBE_NAME}:{store}:{keys}").as_bytes());
    let mut hash = [0; 20];
    hash.copy_from_slice(&digest.as_bytes()[..20]);
    // The name is one that can be.
    let path = StorePath::from_parts(&hash, PROBE_NAME).map_err(std::io::Error::other)?;
    let nar = nar::of_file(PROBE_TEXT.as_bytes());
    let summary = NarSummary { sha256: Sha256::of(&nar), size: nar.len() as u64 };
    let item = Item { store, path: &path, nar: summary, references: Vec::new(), deriver: None, system: None, ca: None };
    shelf.put(&item, &nar).await?;
    Ok(path)
}

/// Puts a text, unless it is there.
async fn replace(bucket: &Bucket, key: &Key, text: &str) -> Result<(), BucketError> {
    match bucket.get(key, MAX_TEXT_BYTES).await {
        Ok(there) if there == text => return Ok(()),
        Err(error) if !error.is_not_found() && !matches!(error, BucketError::TooLarge { .. }) => return Err(error),
        _ => {}
    }
    bucket.put(key, Bytes::from(text.to_owned())).await
}
