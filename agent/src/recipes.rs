//! Derivations out of the bucket's packs. What was read is kept: the builds of one submission share a pack.
//!
//! A derivation is believed because its name is the hash of its text; who packed it does not matter.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_bucket::{Bucket, Key};
use drover_messages::Cause;
use drover_messages::offer::Offer;
use drover_store::{Derivation, DrvPath, MAX_PACK_RAW_BYTES, Pack, PackError, PackId, Sha256, StoreDir, text_path};
use tokio::sync::Mutex;

use crate::failure::Failure;

/// What the packs that are kept may have together, uncompressed, in bytes.
const KEPT_BYTES: usize = 128 << 20;
/// What the packs of one closure may have together, uncompressed, in bytes.
const MAX_LIBRARY_BYTES: usize = 1 << 30;
/// How often a pack is asked for where the bucket does not answer.
const TRIES: u32 = 5;
/// Before another try, in seconds; doubled each time.
const PAUSE_SECS: u64 = 1;

/// Where derivations come from.
#[derive(Debug)]
pub struct Recipes {
    bucket: Bucket,
    store_dir: StoreDir,
    kept: Mutex<Kept>,
}

/// The texts of one pack.
type Texts = HashMap<DrvPath, Bytes>;

#[derive(Debug, Default)]
struct Kept {
    /// Used last, last.
    packs: VecDeque<(PackId, Arc<Texts>)>,
}

impl Recipes {
    /// Out of this bucket, for this store directory.
    pub fn new(bucket: Bucket, store_dir: StoreDir) -> Self {
        Self { bucket, store_dir, kept: Mutex::default() }
    }

    /// What is offered.
    pub async fn read(&self, offer: &Offer) -> Result<Derivation, Failure> {
        Ok(self.library([offer.pack]).find(&offer.drv).await?.0)
    }

    /// Some packs together. Each is fetched when it is needed.
    pub fn library(&self, packs: impl IntoIterator<Item = PackId>) -> Library<'_> {
        let mut unopened: Vec<PackId> = packs.into_iter().collect();
        unopened.reverse();
        Library { recipes: self, unopened, opened: Vec::new(), bytes: 0 }
    }

    fn verified(&self, drv: &DrvPath, text: &[u8]) -> Result<Derivation, Failure> {
        let derivation = Derivation::parse(&self.store_dir, text).map_err(|error| refused(format!("{drv}: {error}")))?;
        let name = format!("{}.drv", drv.name_without_drv());
        match text_path(&self.store_dir, &name, &Sha256::of(text), derivation.references()) {
            Ok(path) if path == *drv.as_store_path() => Ok(derivation),
            _ => Err(refused(format!("{drv} is not the name of what a pack holds under it"))),
        }
    }

    /// One pack is fetched at a time: builds that come together mostly want the same.
    async fn texts(&self, pack: PackId) -> Result<Arc<Texts>, Failure> {
        let mut kept = self.kept.lock().await;
        if let Some(texts) = kept.get(pack) {
            return Ok(texts);
        }
        let texts = Arc::new(unpack(pack, self.fetch(pack).await?).await?);
        kept.put(pack, texts.clone());
        Ok(texts)
    }

    async fn fetch(&self, pack: PackId) -> Result<Bytes, Failure> {
        let mut tries = 1;
        loop {
            match self.bucket.get(&Key::Pack(pack), MAX_PACK_RAW_BYTES as u64).await {
                Err(error) if error.is_transient() && tries < TRIES => {
                    tracing::info!(%pack, %error, "a pack did not come; trying again");
                    tokio::time::sleep(Duration::from_secs(PAUSE_SECS << (tries - 1))).await;
                    tries += 1;
                }
                fetched => return fetched.map_err(|error| Failure::of(Cause::Refused, &error)),
            }
        }
    }
}

/// The derivations of some packs.
#[derive(Debug)]
pub struct Library<'r> {
    recipes: &'r Recipes,
    /// The next is the last.
    unopened: Vec<PackId>,
    opened: Vec<Arc<Texts>>,
    bytes: usize,
}

impl Library<'_> {
    /// A derivation that one of the packs holds, and its text.
    pub async fn find(&mut self, drv: &DrvPath) -> Result<(Derivation, Bytes), Failure> {
        loop {
            if let Some(text) = self.opened.iter().find_map(|texts| texts.get(drv)) {
                return Ok((self.recipes.verified(drv, text)?, text.clone()));
            }
            let Some(pack) = self.unopened.pop() else {
                return Err(refused(format!("{drv} is in none of the {} packs that were named", self.opened.len())));
            };
            self.open(pack).await?;
        }
    }

    async fn open(&mut self, pack: PackId) -> Result<(), Failure> {
        let texts = self.recipes.texts(pack).await?;
        self.bytes += size(&texts);
        if self.bytes > MAX_LIBRARY_BYTES {
            return Err(refused(format!("a closure lies in packs of more than {} MiB", MAX_LIBRARY_BYTES >> 20)));
        }
        self.opened.push(texts);
        Ok(())
    }
}

impl Kept {
    fn get(&mut self, pack: PackId) -> Option<Arc<Texts>> {
        let at = self.packs.iter().position(|(id, _)| *id == pack)?;
        let found = self.packs.remove(at)?;
        let texts = found.1.clone();
        self.packs.push_back(found);
        Some(texts)
    }

    fn put(&mut self, pack: PackId, texts: Arc<Texts>) {
        self.packs.push_back((pack, texts));
        while self.packs.len() > 1 && self.packs.iter().map(|(_, texts)| size(texts)).sum::<usize>() > KEPT_BYTES {
            self.packs.pop_front();
        }
    }
}

fn size(texts: &Texts) -> usize {
    texts.values().map(Bytes::len).sum()
}

async fn unpack(pack: PackId, bytes: Bytes) -> Result<Texts, Failure> {
    let broken = move |error: PackError| refused(format!("the pack {pack} cannot be read: {error}"));
    let unpacked = tokio::task::spawn_blocking(move || {
        if PackId::of(&bytes) != pack {
            return Err(refused(format!("the pack {pack} is not what its name says")));
        }
        let opened = Pack::open(bytes).map_err(broken)?;
        opened.iter().map(|entry| entry.map(|(path, text)| (path.clone(), text))).collect::<Result<_, _>>().map_err(broken)
    });
    unpacked.await.unwrap_or_else(|panic| Err(Failure::of(Cause::Refused, &panic)))
}

/// The farm gave this agent something that it cannot build.
fn refused(message: String) -> Failure {
    Failure::new(Cause::Refused, message)
}

#[cfg(test)]
mod tests {
    use drover_messages::request::Mode;
    use drover_messages::{AttemptId, BuildId, Epoch, Generation};
    use drover_store::PackWriter;

    use super::*;

    const TEXT: &[u8] = br#"Derive([("out","/nix/store/0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-x","","")],[],[],"a-linux","/bin/sh",[],[("out","/nix/store/0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-x")])"#;

    fn true_name() -> DrvPath {
        let derivation = Derivation::parse(&StoreDir::nix(), TEXT).unwrap();
        derivation.path(&StoreDir::nix(), "x").unwrap()
    }

    async fn put(bucket: &Bucket, drv: &DrvPath, text: &[u8]) -> PackId {
        let mut writer = PackWriter::new();
        writer.push(drv, text.to_vec()).unwrap();
        let bytes = writer.finish().unwrap();
        let pack = PackId::of(&bytes);
        bucket.put_once(&Key::Pack(pack), bytes).await.unwrap();
        pack
    }

    #[tokio::test]
    async fn a_derivation_is_looked_for_in_one_pack_after_the_other() {
        let bucket = Bucket::open("memory://").unwrap();
        let other = String::from_utf8_lossy(TEXT).replace("a-linux", "b-linux").into_bytes();
        let other_name = Derivation::parse(&StoreDir::nix(), &other).unwrap().path(&StoreDir::nix(), "y").unwrap();
        let packs = [put(&bucket, &true_name(), TEXT).await, put(&bucket, &other_name, &other).await];
        let recipes = Recipes::new(bucket, StoreDir::nix());
        let mut library = recipes.library(packs);
        assert_eq!(library.find(&true_name()).await.unwrap().1, TEXT);
        assert_eq!(library.opened.len(), 1);
        assert_eq!(library.find(&other_name).await.unwrap().0.system, "b-linux");
        let nowhere = "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-x.drv".parse().unwrap();
        let failure = library.find(&nowhere).await.unwrap_err();
        assert!(failure.message.contains("none of the 2 packs"), "{}", failure.message);
    }

    async fn bucket_with(drv: &DrvPath, pack: Option<PackId>) -> (Recipes, Offer) {
        let mut writer = PackWriter::new();
        writer.push(drv, TEXT).unwrap();
        let bytes = writer.finish().unwrap();
        let pack = pack.unwrap_or_else(|| PackId::of(&bytes));
        let bucket = Bucket::open("memory://").unwrap();
        bucket.put_once(&Key::Pack(pack), bytes).await.unwrap();
        let offer = Offer {
            generation: Generation(1),
            epoch: Epoch { generation: Generation(1), n: 1 },
            attempt: AttemptId::new(),
            build: BuildId::new(),
            store_dir: StoreDir::nix(),
            drv: drv.clone(),
            pack,
            closure: Vec::new(),
            inputs: Vec::new(),
            mode: Mode::Build,
        };
        (Recipes::new(bucket, StoreDir::nix()), offer)
    }

    #[tokio::test]
    async fn a_derivation_is_read_from_its_pack_and_the_pack_is_kept() {
        let (recipes, offer) = bucket_with(&true_name(), None).await;
        assert_eq!(recipes.read(&offer).await.unwrap().system, "a-linux");
        recipes.bucket.delete(&Key::Pack(offer.pack)).await.unwrap();
        recipes.read(&offer).await.unwrap();
    }

    #[tokio::test]
    async fn a_derivation_under_another_name_is_refused_and_the_farm_is_to_blame() {
        let liar = "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-x.drv".parse().unwrap();
        let (recipes, offer) = bucket_with(&liar, None).await;
        assert_eq!(recipes.read(&offer).await.unwrap_err().cause, Cause::Refused);
    }

    #[tokio::test]
    async fn a_pack_under_another_name_is_refused() {
        let (recipes, offer) = bucket_with(&true_name(), Some(PackId::of(b"another"))).await;
        assert!(recipes.read(&offer).await.unwrap_err().message.contains("not what its name says"));
    }

    #[tokio::test]
    async fn a_pack_that_is_not_there_is_the_farms_failure() {
        let (recipes, mut offer) = bucket_with(&true_name(), None).await;
        offer.pack = PackId::of(b"nowhere");
        assert_eq!(recipes.read(&offer).await.unwrap_err().cause, Cause::Refused);
    }
}
