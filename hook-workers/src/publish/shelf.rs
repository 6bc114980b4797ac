//! The caches in the bucket: what they have of a path, and the putting of more. A nar appears first, then the narinfo that
//! makes it a substitute; each once and whole.

use bytes::Bytes;
use drover_bucket::{Bucket, BucketError, Key, Put};
use drover_store::{ContentAddress, Family, MAX_NARINFO_BYTES, NarFile, NarInfo, NarSummary, StoreDir, StorePath};

use super::packing::pack;
use super::{Available, Keys, NoKey, Packing, PublishError};

/// All that is put there goes through this.
pub(super) struct Shelf {
    pub(super) bucket: Bucket,
    pub(super) keys: Keys,
    pub(super) packing: Packing,
    pub(super) available: Available,
}

/// What a narinfo says, but for where the nar is.
pub(super) struct Item<'a> {
    pub(super) store: &'a StoreDir,
    pub(super) path: &'a StorePath,
    pub(super) nar: NarSummary,
    /// In order.
    pub(super) references: Vec<StorePath>,
    pub(super) deriver: Option<StorePath>,
    pub(super) system: Option<String>,
    pub(super) ca: Option<ContentAddress>,
}

/// What a cache has of a path.
pub(super) enum Found {
    Nothing,
    /// Something that cannot be read: to be replaced.
    Unreadable,
    /// This, and whether its nars are there too.
    Narinfo(Box<NarInfo>, bool),
}

impl Shelf {
    /// Looks for a path.
    pub(super) async fn find(&self, store: &StoreDir, path: &StorePath) -> Result<Found, BucketError> {
        let text = match self.bucket.get(&Key::NarInfo(store.clone(), path.into()), MAX_NARINFO_BYTES as u64).await {
            Ok(text) => text,
            Err(error) if error.is_not_found() => return Ok(Found::Nothing),
            Err(BucketError::TooLarge { .. }) => return Ok(Found::Unreadable),
            Err(error) => return Err(error),
        };
        let Some(narinfo) = std::str::from_utf8(&text).ok().and_then(|text| NarInfo::parse(store, text).ok()) else {
            tracing::error!(%path, "a narinfo in the cache cannot be read; it will be replaced");
            return Ok(Found::Unreadable);
        };
        let whole = self.has_all(store, &narinfo.files).await?;
        Ok(Found::Narinfo(Box::new(narinfo), whole))
    }

    /// Whoever fetches an item may choose any of its files.
    async fn has_all(&self, store: &StoreDir, files: &[NarFile]) -> Result<bool, BucketError> {
        for file in files {
            match format!("cache/{}/{}", store.slug(), file.url).parse::<Key>() {
                Ok(nar) if self.bucket.exists(&nar).await? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Puts the narinfo of an item whose nars are there: if none is there, or in any case.
    pub(super) async fn describe(&self, item: &Item<'_>, files: Vec<NarFile>, replace: bool) -> Result<Put, PublishError> {
        let key = Key::NarInfo(item.store.clone(), item.path.into());
        let text = self.narinfo(item, files)?;
        match replace {
            true => self.bucket.put(&key, text).await.map(|()| Put::Created).map_err(Into::into),
            false => Ok(self.bucket.put_once(&key, text).await?),
        }
    }

    /// Puts a small item as a whole, in the place of what cannot be read or has no nar.
    pub(super) async fn put(&self, item: &Item<'_>, nar: &[u8]) -> Result<(), PublishError> {
        let replace = match self.find(item.store, item.path).await? {
            Found::Narinfo(_, true) => {
                self.available.add(item.store, item.path);
                return Ok(());
            }
            Found::Nothing => false,
            Found::Narinfo(_, false) | Found::Unreadable => true,
        };
        let mut files = Vec::new();
        for way in self.packing.of(item.store) {
            let (object, packed) = pack(*way, nar)?;
            self.bucket.put_once(&packed.key(item.store), object.into()).await?;
            files.push(packed.file(item.store));
        }
        self.describe(item, files, replace).await?;
        self.available.add(item.store, item.path);
        Ok(())
    }

    fn narinfo(&self, item: &Item<'_>, files: Vec<NarFile>) -> Result<Bytes, NoKey> {
        let mut narinfo = NarInfo {
            store_path: item.path.clone(),
            files,
            nar_hash: item.nar.sha256,
            nar_size: item.nar.size,
            references: item.references.clone(),
            deriver: item.deriver.clone(),
            // Guix stopped to say it.
            system: item.system.clone().filter(|_| item.store.family() == Family::Nix),
            sigs: Vec::new(),
            signature: None,
            ca: item.ca,
        };
        self.keys.sign(item.store, &mut narinfo)?;
        Ok(narinfo.write(item.store).into())
    }
}
