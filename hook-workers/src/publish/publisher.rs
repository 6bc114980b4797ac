//! One request, from the bucket and back into it: the nar is copied while it is verified, and appears only when it was
//! right; then the narinfo appears, which makes it a substitute. Both appear once and whole. To do it all again is
//! harmless at any point.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use drover_bucket::{Bucket, BucketError, Compression, Corner, Key, Put};
use drover_messages::publish::{Origin, Publish, PublishVerdict};
use drover_store::{MAX_NARINFO_BYTES, NarFile, NarInfo, SecretKey, StoreDir, StorePath};
use futures::StreamExt;

use super::verify::{Verification, Verified};
use super::{Available, Refusal};

/// Objects up to this size, in bytes, are read at once.
pub const INLINE_BYTES: u64 = 1 << 20;
/// What every cache says of itself, after its store directory: that it is asked for many paths at once, and before
/// the caches of whole distributions, whose priority is 40.
const CACHE_INFO: &str = "WantMassQuery: 1\nPriority: 30\n";

/// What this farm takes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest nar, and the largest object, in bytes.
    pub max_nar_bytes: u64,
}

/// Verifies, signs and publishes.
pub struct Publisher {
    bucket: Bucket,
    keys: Vec<SecretKey>,
    limits: Limits,
    available: Available,
    introduced: Mutex<BTreeSet<StoreDir>>,
}

/// Why a request ends before its end.
enum Stop {
    Verdict(PublishVerdict),
    Bucket(BucketError),
}

impl From<BucketError> for Stop {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Verdict(PublishVerdict::Refused { why: refusal.to_string() })
    }
}

/// What the cache has of a path.
enum There {
    Nothing,
    /// The same, and its nar.
    Whole,
    /// The same without its nar, or something that cannot be read: to be replaced.
    Broken,
}

impl Publisher {
    /// Signs with all of these keys.
    pub fn new(bucket: Bucket, keys: Vec<SecretKey>, limits: Limits) -> Self {
        Self { available: Available::new(bucket.clone()), bucket, keys, limits, introduced: Mutex::default() }
    }

    /// Does what is asked. An error is the bucket's, and says nothing about the bytes: to be tried again.
    pub async fn publish(&self, request: &Publish) -> Result<PublishVerdict, BucketError> {
        match self.try_publish(request).await {
            Ok(verdict) | Err(Stop::Verdict(verdict)) => Ok(verdict),
            Err(Stop::Bucket(error)) => Err(error),
        }
    }

    async fn try_publish(&self, request: &Publish) -> Result<PublishVerdict, Stop> {
        let incoming = claimed_place(request)?;
        self.check_size(request)?;
        self.introduce(&request.store_dir).await?;
        let there = self.look(request).await?;
        if let There::Whole = there {
            self.available.add(&request.store_dir, &request.path);
            return Ok(PublishVerdict::AlreadyThere);
        }
        self.check_available(request).await?;
        let verified = self.bring(request, &incoming).await?;
        let verdict = self.describe(request, &verified, &there).await?;
        self.available.add(&request.store_dir, &request.path);
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

    /// Makes a cache a cache, once.
    async fn introduce(&self, store: &StoreDir) -> Result<(), BucketError> {
        if self.introduced.lock().unwrap_or_else(PoisonError::into_inner).contains(store) {
            return Ok(());
        }
        let text = format!("StoreDir: {store}\n{CACHE_INFO}");
        self.bucket.put_once(&Key::CacheInfo(store.clone()), text.into()).await?;
        self.introduced.lock().unwrap_or_else(PoisonError::into_inner).insert(store.clone());
        Ok(())
    }

    async fn look(&self, request: &Publish) -> Result<There, Stop> {
        let store = &request.store_dir;
        let text = match self.bucket.get(&narinfo_key(request), MAX_NARINFO_BYTES as u64).await {
            Ok(text) => text,
            Err(error) if error.is_not_found() => return Ok(There::Nothing),
            Err(BucketError::TooLarge { .. }) => return Ok(There::Broken),
            Err(error) => return Err(error.into()),
        };
        let Some(narinfo) = std::str::from_utf8(&text).ok().and_then(|text| NarInfo::parse(store, text).ok()) else {
            tracing::error!(path = %request.path, "a narinfo in the cache cannot be read; it will be replaced");
            return Ok(There::Broken);
        };
        check_same(request, &narinfo)?;
        for file in &narinfo.files {
            match format!("cache/{}/{}", store.slug(), file.url).parse::<Key>() {
                Ok(nar) if self.bucket.exists(&nar).await? => {}
                _ => return Ok(There::Broken),
            }
        }
        Ok(There::Whole)
    }

    async fn check_available(&self, request: &Publish) -> Result<(), Stop> {
        let ours = |path: &&StorePath| **path != request.path && !request.elsewhere.contains(path);
        let others = request.references.iter().filter(ours);
        let missing = self.available.missing(&request.store_dir, others).await?;
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Stop::Verdict(PublishVerdict::ReferencesMissing { missing })),
        }
    }

    /// Copies the nar to where only this pool can write, if it is right. What is wrong never appears there.
    async fn bring(&self, request: &Publish, incoming: &Key) -> Result<Verified, Stop> {
        let object = match self.bucket.stream(incoming).await {
            Err(error) if error.is_not_found() => return Err(Stop::Verdict(PublishVerdict::NarMissing)),
            object => object?,
        };
        let claimed = request.nar.file_size;
        if object.size() != claimed {
            return Err(Refusal::FileSize { claimed, found: object.size() }.into());
        }
        let mut verification = Verification::new(request)?;
        let mut upload = self.bucket.upload(&nar_key(request));
        if claimed <= INLINE_BYTES {
            let bytes = object.bytes(claimed).await?;
            verification.feed(&bytes)?;
            upload.write(bytes).await?;
        } else {
            let mut pieces = object.stream();
            while let Some(bytes) = pieces.next().await.transpose()? {
                verification.feed(&bytes)?;
                upload.write(bytes).await?;
            }
        }
        let verified = verification.finish()?;
        // What is there already has this name, and so this content.
        upload.finish().await?;
        Ok(verified)
    }

    async fn describe(&self, request: &Publish, verified: &Verified, there: &There) -> Result<PublishVerdict, Stop> {
        let key = narinfo_key(request);
        let text = Bytes::from(self.narinfo(request, verified));
        if let There::Broken = there {
            self.bucket.put(&key, text).await?;
            return Ok(PublishVerdict::Published);
        }
        match self.bucket.put_once(&key, text).await? {
            Put::Created => Ok(PublishVerdict::Published),
            // Another worker was faster: with the same, or with something else.
            Put::Existed => self.look(request).await.map(|_| PublishVerdict::AlreadyThere),
        }
    }

    fn narinfo(&self, request: &Publish, verified: &Verified) -> String {
        let (deriver, system) = match &request.origin {
            Origin::Output { deriver, system, .. } => (Some(deriver.clone()), Some(system.clone())),
            Origin::Source { .. } => (None, None),
        };
        let mut narinfo = NarInfo {
            store_path: request.path.clone(),
            files: vec![NarFile {
                url: format!("nar/{}.nar.zst", request.nar.file_hash.to_nix32()),
                compression: Compression::Zstd.name().into(),
                file_hash: Some(request.nar.file_hash),
                file_size: Some(request.nar.file_size),
            }],
            nar_hash: request.nar.nar_hash,
            nar_size: request.nar.nar_size,
            references: verified.references().to_vec(),
            deriver,
            system,
            sigs: Vec::new(),
            signature: None,
            ca: verified.ca().copied(),
        };
        let fingerprint = narinfo.fingerprint(&request.store_dir);
        narinfo.sigs = self.keys.iter().map(|key| key.sign(&fingerprint)).collect();
        narinfo.write(&request.store_dir)
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

fn narinfo_key(request: &Publish) -> Key {
    Key::NarInfo(request.store_dir.clone(), (&request.path).into())
}

fn nar_key(request: &Publish) -> Key {
    Key::Nar { store_dir: request.store_dir.clone(), file_hash: request.nar.file_hash, compression: Compression::Zstd }
}
