//! The texts of a derivation's whole closure, which lie in several packs. Where each is, is known at once; the packs
//! themselves are held a few at a time.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use drover_bucket::{Bucket, BucketError, Key};
use drover_store::{DrvPath, Pack, PackId};

/// The largest pack that is read, in bytes.
const MAX_PACK_BYTES: u64 = 64 << 20;
/// The most derivations of one closure; about 150 bytes each.
const MAX_DERIVATIONS: usize = 500_000;
/// Packs that are held.
const MAX_HELD: usize = 4;

/// Some packs together.
pub(super) struct Packs {
    ids: Vec<PackId>,
    /// Which of them holds it.
    places: HashMap<DrvPath, usize>,
    /// Used last, last.
    held: VecDeque<(usize, Pack)>,
}

impl Packs {
    /// Looks into each. One that cannot be read is left out, and said to be.
    pub(super) async fn open(bucket: &Bucket, ids: &[PackId]) -> Result<Self, BucketError> {
        let mut packs = Self { ids: ids.to_vec(), places: HashMap::new(), held: VecDeque::new() };
        for n in 0..ids.len() {
            let Some(pack) = packs.fetch(bucket, n).await? else { continue };
            if packs.places.len() + pack.names().len() > MAX_DERIVATIONS {
                tracing::warn!(limit = MAX_DERIVATIONS, "a closure has more derivations than are served");
                break;
            }
            packs.places.extend(pack.names().map(|name| (name.clone(), n)));
            packs.hold(n, pack);
        }
        Ok(packs)
    }

    /// Whether these are the packs.
    pub(super) fn are(&self, ids: &[PackId]) -> bool {
        self.ids == ids
    }

    /// The text that is under a name, if there is one. That it belongs to it is not verified.
    pub(super) async fn text(&mut self, bucket: &Bucket, drv: &DrvPath) -> Result<Option<Bytes>, BucketError> {
        let Some(n) = self.places.get(drv).copied() else { return Ok(None) };
        let held = self.held.iter().position(|(held, _)| *held == n).and_then(|at| self.held.remove(at));
        let pack = match held {
            Some((_, pack)) => Some(pack),
            None => self.fetch(bucket, n).await?,
        };
        let Some(pack) = pack else { return Ok(None) };
        let text = pack.get(drv);
        self.hold(n, pack);
        Ok(text.inspect_err(|error| tracing::warn!(%drv, %error, "a pack cannot be read")).ok())
    }

    fn hold(&mut self, n: usize, pack: Pack) {
        if self.held.len() == MAX_HELD {
            self.held.pop_front();
        }
        self.held.push_back((n, pack));
    }

    async fn fetch(&self, bucket: &Bucket, n: usize) -> Result<Option<Pack>, BucketError> {
        let id = self.ids[n];
        let bytes = match bucket.get(&Key::Pack(id), MAX_PACK_BYTES).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::warn!(%id, %error, "a pack of derivations cannot be had");
                return Ok(None);
            }
        };
        match Pack::open(bytes) {
            Ok(pack) if pack.id() == id => Ok(Some(pack)),
            Ok(_) => {
                tracing::warn!(%id, "a pack of derivations is another than its name says");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(%id, %error, "a pack of derivations cannot be read");
                Ok(None)
            }
        }
    }
}
