//! The derivations behind a submission's roots: those that came along, verified here, and those known from before.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use drover_bucket::{Bucket, Key};
use drover_messages::request::{MAX_PACKS, Submit};
use drover_scheduler_core::{Learned, PackSet};
use drover_store::{Derivation, DrvPath, Named, Pack, PackId, Sha256, StoreDir, StorePath, verify_all};
use tokio::task::block_in_place;

use super::{NotNow, packs};
use crate::book::Book;

/// The largest pack, in bytes, as it lies in the bucket.
const MAX_PACK_BYTES: u64 = 64 << 20;
/// When the closure of a derivation lies in more packs than this, it is packed anew: it came in many small submissions.
const MAX_CLOSURE_PACKS: usize = 64;
/// The most derivations of one closure.
const MAX_CLOSURE: usize = 500_000;

/// A whole closure.
pub(super) struct Closure {
    /// Each derivation, with the pack that holds it.
    pub(super) derivations: BTreeMap<DrvPath, (Derivation, PackId)>,
    /// Those that were not known before, or lie elsewhere now.
    pub(super) learned: Vec<Learned>,
    /// The sets of packs that those name.
    pub(super) packed: Vec<PackSet>,
}

/// Derivations with the packs that hold them, and the hashes that others are verified by.
#[derive(Default)]
struct Found {
    derivations: BTreeMap<DrvPath, (Derivation, PackId)>,
    known: BTreeMap<DrvPath, Learned>,
    fresh: BTreeMap<DrvPath, Sha256>,
}

/// Packs in memory, and what the book says of derivations.
struct Shelf<'a> {
    bucket: &'a Bucket,
    book: &'a Book,
    packs: BTreeMap<PackId, Pack>,
}

impl Closure {
    /// Fetches what came along and what it stands on. A derivation that is not what its name says refuses it all.
    pub(super) async fn fetch(bucket: &Bucket, book: &Book, submit: &Submit) -> Result<Self, NotNow> {
        let mut shelf = Shelf { bucket, book, packs: BTreeMap::new() };
        let mut came: BTreeMap<DrvPath, (Bytes, PackId)> = BTreeMap::new();
        for id in &submit.packs {
            let pack = shelf.pack(*id).await?;
            block_in_place(|| {
                for entry in pack.iter() {
                    let (path, aterm) = entry.map_err(|error| NotNow::Never(format!("the pack {id}: {error}")))?;
                    came.insert(path.clone(), (aterm, *id));
                }
                Ok::<_, NotNow>(())
            })?;
        }
        if came.len() > MAX_CLOSURE {
            return Err(NotNow::Never(format!("it brings {} derivations; {MAX_CLOSURE} is the limit", came.len())));
        }
        let mut found = Found { known: shelf.known(came.keys())?, ..Found::default() };
        came.retain(|path, _| !found.known.contains_key(path));
        block_in_place(|| found.verify(&submit.store_dir, came, &shelf))?;
        found.complete(submit, &mut shelf).await?;
        found.pack(bucket, &submit.store_dir).await
    }

    /// Every output and every source in it.
    pub(super) fn paths(&self) -> BTreeSet<StorePath> {
        let derivations = self.derivations.values().map(|(derivation, _)| derivation);
        derivations
            .flat_map(|derivation| derivation.outputs.values().map(|output| &output.path).chain(&derivation.input_srcs))
            .cloned()
            .collect()
    }
}

impl Found {
    /// Verifies what is new.
    fn verify(
        &mut self,
        store_dir: &StoreDir,
        came: BTreeMap<DrvPath, (Bytes, PackId)>,
        shelf: &Shelf<'_>,
    ) -> Result<(), NotNow> {
        let (packs, aterms): (BTreeMap<_, _>, BTreeMap<_, _>) =
            came.into_iter().map(|(path, (aterm, pack))| ((path.clone(), pack), (path, aterm))).unzip();
        let (named, faults) = Named::read_all(store_dir, &aterms);
        drop(aterms);
        let inputs = named.values().flat_map(|named| named.derivation().input_drvs.keys());
        let below: BTreeSet<&DrvPath> = inputs.filter(|input| !named.contains_key(*input)).collect();
        let known: BTreeMap<DrvPath, Sha256> =
            shelf.known(below)?.into_iter().map(|(path, learned)| (path, learned.modulo)).collect();
        let (verified, more) = verify_all(store_dir, named, |path| known.get(path).copied());
        if let Some(fault) = faults.into_iter().chain(more).next() {
            return Err(NotNow::Never(fault.to_string()));
        }
        for (drv, verified) in verified {
            self.fresh.insert(drv.clone(), verified.modulo);
            let pack = packs[&drv];
            self.derivations.insert(drv, (verified.derivation, pack));
        }
        Ok(())
    }

    /// Adds what the roots and the new derivations stand on, level by level.
    async fn complete(&mut self, submit: &Submit, shelf: &mut Shelf<'_>) -> Result<(), NotNow> {
        let named = submit.roots.iter().map(|root| &root.drv);
        let needed = self.derivations.values().flat_map(|(derivation, _)| derivation.input_drvs.keys());
        let mut lacking: BTreeSet<DrvPath> =
            named.chain(needed).filter(|path| !self.derivations.contains_key(*path)).cloned().collect();
        while !lacking.is_empty() {
            let asked = lacking.iter().filter(|path| !self.known.contains_key(*path));
            let known = shelf.known(asked)?;
            self.known.extend(known);
            let mut next = BTreeSet::new();
            for path in lacking {
                // What nobody knows is reported by the plan, with who needs it.
                let Some(learned) = self.known.get(&path) else { continue };
                let derivation = shelf.derivation(learned).await?;
                next.extend(derivation.input_drvs.keys().cloned());
                self.derivations.insert(path, (derivation, learned.pack));
            }
            next.retain(|path| !self.derivations.contains_key(path));
            lacking = next;
        }
        Ok(())
    }

    /// Notes in which packs the closure of each derivation lies, once they are few.
    async fn pack(mut self, bucket: &Bucket, store_dir: &StoreDir) -> Result<Closure, NotNow> {
        let mut packing = packs::packing(&self.derivations);
        if packing.largest() > MAX_CLOSURE_PACKS {
            packs::repack(bucket, store_dir, &mut self.derivations).await?;
            packing = packs::packing(&self.derivations);
            let moved = self.known.iter().filter(|(drv, _)| self.derivations.contains_key(*drv));
            self.fresh.extend(moved.map(|(drv, learned)| (drv.clone(), learned.modulo)));
        }
        if packing.largest() > MAX_PACKS {
            return Err(NotNow::Never(format!("its closure fills {} packs; {MAX_PACKS} is the limit", packing.largest())));
        }
        let learn = |(drv, modulo): (DrvPath, Sha256)| {
            let pack = self.derivations[&drv].1;
            let closure = packing.of(&drv);
            Learned { store_dir: store_dir.clone(), drv, pack, modulo, closure }
        };
        let learned: Vec<Learned> = self.fresh.into_iter().map(learn).collect();
        let packed = packing.into_sets(&learned.iter().map(|learned| learned.closure).collect());
        Ok(Closure { derivations: self.derivations, learned, packed })
    }
}

impl Shelf<'_> {
    async fn pack(&mut self, id: PackId) -> Result<&Pack, NotNow> {
        if !self.packs.contains_key(&id) {
            let what = format!("the pack {id}");
            let bytes = self.bucket.get(&Key::Pack(id), MAX_PACK_BYTES).await.map_err(|e| NotNow::of_bucket(&what, &e))?;
            if PackId::of(&bytes) != id {
                return Err(NotNow::Never(format!("{what} has other bytes than its name says")));
            }
            let pack = block_in_place(|| Pack::open(bytes)).map_err(|error| NotNow::Never(format!("{what}: {error}")))?;
            self.packs.insert(id, pack);
        }
        Ok(&self.packs[&id])
    }

    /// Reads a derivation that was verified before.
    async fn derivation(&mut self, learned: &Learned) -> Result<Derivation, NotNow> {
        let aterm = self.pack(learned.pack).await?.get(&learned.drv);
        let aterm = aterm.map_err(|error| NotNow::Trouble(format!("{}: {error}", learned.drv)))?;
        Derivation::parse(&learned.store_dir, &aterm).map_err(|error| NotNow::Trouble(format!("{}: {error}", learned.drv)))
    }

    /// What the book says of these.
    fn known<'d>(&self, drvs: impl IntoIterator<Item = &'d DrvPath>) -> Result<BTreeMap<DrvPath, Learned>, NotNow> {
        Ok(block_in_place(|| self.book.all_learned(drvs))?)
    }
}
