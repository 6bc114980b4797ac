//! One request, from the bucket and back into it: the nar is brought while it is verified, and appears only when it was
//! right; then the narinfo appears, which makes it a substitute. To do it all again is harmless at any point.

use std::collections::BTreeSet;

use drover_bucket::{Bucket, Corner, Key, Put};
use drover_messages::publish::{Origin, Publish, PublishVerdict};
use drover_messages::request::Nar;
use drover_store::{NarInfo, NarSummary, Sha256, StoreDir};

use super::introduction::Introduction;
use super::log::show_log;
use super::packing::Packed;
use super::recipes::Recipes;
use super::shelf::{Found, Item, Shelf};
use super::stop::Stop;
use super::verify::Verified;
use super::{Available, Keys, Packing, PublishError, Refusal, Served, carry};

/// What this farm takes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest nar, and the largest object, in bytes.
    pub max_nar_bytes: u64,
}

/// Verifies, signs and publishes.
pub struct Publisher {
    shelf: Shelf,
    limits: Limits,
    introduction: Introduction,
    recipes: Recipes,
}

/// What the cache has of a path.
enum There {
    Nothing,
    /// The same, and its nar.
    Whole,
    /// The same without its nar, or something that cannot be read: to be replaced.
    Broken,
    /// Something else that an attempt made, whose nar has this hash.
    Other(Sha256),
}

impl Publisher {
    /// Signs with all of these keys.
    pub fn new(bucket: Bucket, keys: Keys, packing: Packing, limits: Limits) -> Self {
        let shelf = Shelf { available: Available::new(bucket.clone()), bucket, keys, packing };
        Self { shelf, limits, introduction: Introduction::default(), recipes: Recipes::default() }
    }

    /// Makes the cache of a store known, before anything is asked for: what it is, its keys, and its probe.
    pub async fn introduce(&self, store: &StoreDir) -> Result<(), PublishError> {
        self.introduction.of(&self.shelf, store).await
    }

    /// Does what is asked. An error says nothing about the bytes: to be tried again.
    pub async fn publish(&self, request: &Publish) -> Result<PublishVerdict, PublishError> {
        match self.try_publish(request).await {
            Ok(verdict) | Err(Stop::Verdict(verdict)) => Ok(verdict),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    /// Serves the derivation that an output came from, with all that it stands on. An error is to be tried again.
    pub async fn serve_derivations(&self, request: &Publish) -> Result<Served, PublishError> {
        self.recipes.serve(&self.shelf, request).await
    }

    async fn try_publish(&self, request: &Publish) -> Result<PublishVerdict, Stop> {
        let incoming = claimed_place(request)?;
        self.check_size(request)?;
        self.introduce(&request.store_dir).await?;
        let replace = match self.look(request).await? {
            There::Whole => {
                self.shelf.available.add(&request.store_dir, &request.path);
                return Ok(PublishVerdict::AlreadyThere);
            }
            There::Other(there) => return self.keep(request, &incoming, there).await,
            There::Nothing => false,
            There::Broken => true,
        };
        self.check_available(request).await?;
        let (verified, nars) = carry::into_cache(&self.shelf.bucket, &self.shelf.packing, request, &incoming).await?;
        show_log(&self.shelf.bucket, request).await?;
        let verdict = self.describe(request, &verified, &nars, replace).await?;
        self.shelf.available.add(&request.store_dir, &request.path);
        Ok(verdict)
    }

    fn check_size(&self, request: &Publish) -> Result<(), Refusal> {
        let (nar_size, file_size) = (request.nar.nar_size, request.nar.file_size);
        let max_bytes = self.limits.max_nar_bytes;
        match nar_size.max(file_size) > max_bytes {
            true => Err(Refusal::TooLarge { nar_size, file_size, max_bytes }),
            false => Ok(()),
        }
    }

    async fn look(&self, request: &Publish) -> Result<There, Stop> {
        Ok(match self.shelf.find(&request.store_dir, &request.path).await? {
            Found::Nothing => There::Nothing,
            Found::Unreadable => There::Broken,
            Found::Narinfo(narinfo, whole) => match check_same(request, &narinfo) {
                Ok(()) if whole => There::Whole,
                Ok(()) => There::Broken,
                Err(Refusal::Differs { there, .. }) if is_built(request) => There::Other(there),
                Err(refusal) => return Err(refusal.into()),
            },
        })
    }

    async fn check_available(&self, request: &Publish) -> Result<(), Stop> {
        let elsewhere: BTreeSet<_> = request.elsewhere.iter().chain([&request.path]).collect();
        let ours = request.references.iter().filter(|path| !elsewhere.contains(path));
        let missing = self.shelf.available.missing(&request.store_dir, ours).await?;
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Stop::Verdict(PublishVerdict::ReferencesMissing { missing })),
        }
    }

    /// Puts what came out differently beside the cache, for those who want to know why.
    async fn keep(&self, request: &Publish, incoming: &Key, there: Sha256) -> Result<PublishVerdict, Stop> {
        let Origin::Output { build, attempt, .. } = &request.origin else {
            return Err(Refusal::Differs { there, here: request.nar.nar_hash }.into());
        };
        let kept = Key::Kept { build: *build, attempt: *attempt, item: (&request.path).into() };
        carry::as_it_is(&self.shelf.bucket, request, incoming, &kept).await?;
        Ok(PublishVerdict::Differs { there, kept: Nar { key: kept.to_string(), ..request.nar.clone() } })
    }

    async fn describe(
        &self,
        request: &Publish,
        verified: &Verified,
        nars: &[Packed],
        replace: bool,
    ) -> Result<PublishVerdict, Stop> {
        let (deriver, system) = match &request.origin {
            Origin::Output { deriver, system, .. } => (Some(deriver.clone()), Some(system.clone())),
            Origin::Source { .. } => (None, None),
        };
        let store = &request.store_dir;
        let item = Item {
            store,
            path: &request.path,
            nar: NarSummary { sha256: request.nar.nar_hash, size: request.nar.nar_size },
            references: verified.references().to_vec(),
            deriver,
            system,
            ca: verified.ca().copied(),
        };
        let files = nars.iter().map(|nar| nar.file(store)).collect();
        match self.shelf.describe(&item, files, replace).await? {
            Put::Created => Ok(PublishVerdict::Published),
            // Another worker was faster: with the same, or with something else.
            Put::Existed => match self.look(request).await? {
                There::Other(there) => self.keep(request, &claimed_place(request)?, there).await,
                _ => Ok(PublishVerdict::AlreadyThere),
            },
        }
    }
}

/// The key of the uploaded nar, which must lie in its maker's corner.
fn claimed_place(request: &Publish) -> Result<Key, Refusal> {
    let corner = match &request.origin {
        Origin::Output { agent, attempt, .. } => Corner::Attempt(*agent, *attempt),
        Origin::Source { client, submission, .. } => Corner::Submission(*client, *submission),
    };
    Ok(corner.claim(&request.nar.key)?)
}

fn is_built(request: &Publish) -> bool {
    matches!(request.origin, Origin::Output { .. })
}

fn check_same(request: &Publish, there: &NarInfo) -> Result<(), Refusal> {
    if there.nar_hash != request.nar.nar_hash || there.nar_size != request.nar.nar_size {
        return Err(Refusal::Differs { there: there.nar_hash, here: request.nar.nar_hash });
    }
    let declared: BTreeSet<_> = request.references.iter().collect();
    match there.references.iter().collect::<BTreeSet<_>>() == declared {
        true => Ok(()),
        false => Err(Refusal::OtherReferences),
    }
}
