//! The derivations behind a submission's roots: those that came along, verified here, and those known from before.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use drover_bucket::{Bucket, Key};
use drover_messages::request::{MAX_PACKS, Submit};
use drover_scheduler_core::closure::{Closure, DrvNo};
use drover_scheduler_core::{Learned, PackSet};
use drover_store::{Derivation, DrvPath, Named, Pack, PackError, PackId, PackWriter, Sha256, StoreDir, Verifier};
use futures::{StreamExt, stream};
use tokio::task::{JoinHandle, block_in_place, spawn_blocking};

use super::packs::Packing;
use super::{NotNow, packs};
use crate::book::Book;

/// The largest pack, in bytes, as it lies in the bucket.
const MAX_PACK_BYTES: u64 = 64 << 20;
/// When the closure of a derivation lies in more packs than this, it is packed anew: it came in many small submissions.
const MAX_CLOSURE_PACKS: usize = 64;
/// Packs that are fetched and read at once, one of them while the one before is added to the closure.
const PACKS_AHEAD: usize = 2;
/// The most derivations of one closure.
const MAX_CLOSURE: usize = 500_000;

/// What a submission stands on. The names of its derivations are verified; their outputs may still be.
pub(super) struct Ground {
    /// All derivations that it is made of.
    pub(super) closure: Closure,
    packing: Packing,
    verification: Verification,
    /// Known derivations that lie elsewhere now.
    moved: Vec<(DrvPath, Sha256)>,
}

/// What comes to the book.
pub(super) struct Lesson {
    /// Derivations that were not known before, or lie elsewhere now.
    pub(super) learned: Vec<Learned>,
    /// The sets of packs that those name.
    pub(super) packed: Vec<PackSet>,
}

/// Outputs are computed again by a thread of its own: others need not wait for it, as long as nothing leaves this process.
enum Verification {
    Running(JoinHandle<Result<Vec<(DrvPath, Sha256)>, NotNow>>),
    Done(Vec<(DrvPath, Sha256)>),
}

/// Derivations, and what the book knew of some.
#[derive(Default)]
struct Found {
    closure: Closure,
    known: BTreeMap<DrvPath, Learned>,
    /// How many came that were not known.
    came: usize,
}

/// Packs in memory, and what the book says of derivations.
struct Shelf<'a> {
    bucket: &'a Bucket,
    book: &'a Book,
    packs: BTreeMap<PackId, Pack>,
}

impl Ground {
    /// Fetches what came along and what it stands on. A derivation that is not what its name says refuses it all.
    pub(super) async fn fetch(bucket: &Bucket, book: &Book, submit: &Submit) -> Result<Self, NotNow> {
        let mut shelf = Shelf { bucket, book, packs: BTreeMap::new() };
        let mut found = Found::default();
        let mut verifier = Verifier::new(submit.store_dir.clone());
        let read = |id| tokio::spawn(read(bucket.clone(), book.clone(), submit.store_dir.clone(), id));
        let mut packs = stream::iter(submit.packs.clone()).map(read).buffered(PACKS_AHEAD);
        while let Some(pack) = packs.next().await {
            let ReadPack { id, pack, known, new } = pack.map_err(|error| NotNow::Trouble(error.to_string()))??;
            shelf.packs.insert(id, pack);
            block_in_place(|| found.add(known, new, id, &mut verifier))?;
        }
        let verification = Verification::begin(verifier, &shelf)?;
        found.complete(submit, &mut shelf).await?;
        found.pack(verification, &mut shelf).await
    }

    /// The same, when all outputs are verified.
    pub(super) async fn verified(self) -> Result<Self, NotNow> {
        Ok(Self { verification: Verification::Done(self.verification.end().await?), ..self })
    }

    /// The closure, and what is to be learned of it, once all of it is verified.
    pub(super) async fn lesson(self, store_dir: &StoreDir) -> Result<(Closure, Lesson), NotNow> {
        let verified = self.verification.end().await?;
        let learn = |(drv, modulo): (DrvPath, Sha256)| {
            let no = self.closure.number(&drv)?;
            let (pack, closure) = (self.closure.get(no)?.pack, self.packing.of(no));
            Some(Learned { store_dir: store_dir.clone(), drv, pack, modulo, closure })
        };
        let learned: Vec<Learned> = verified.into_iter().chain(self.moved).filter_map(learn).collect();
        let packed = self.packing.into_sets(&learned.iter().map(|learned| learned.closure).collect());
        Ok((self.closure, Lesson { learned, packed }))
    }
}

impl Verification {
    fn begin(verifier: Verifier, shelf: &Shelf<'_>) -> Result<Self, NotNow> {
        let known = shelf.known(verifier.lacking())?;
        Ok(Self::Running(spawn_blocking(move || {
            let (verified, faults) = verifier.finish(|path| known.get(path).map(|learned| learned.modulo));
            match faults.first() {
                Some(fault) => Err(NotNow::Never(fault.to_string())),
                None => Ok(verified),
            }
        })))
    }

    /// What was verified, when all of it is.
    async fn end(self) -> Result<Vec<(DrvPath, Sha256)>, NotNow> {
        match self {
            Self::Running(running) => running.await.map_err(|error| NotNow::Trouble(error.to_string()))?,
            Self::Done(verified) => Ok(verified),
        }
    }
}

impl Found {
    /// Adds what a pack holds, and keeps of it no more than is needed.
    fn add(
        &mut self,
        known: BTreeMap<DrvPath, Learned>,
        new: BTreeMap<DrvPath, Named>,
        pack: PackId,
        verifier: &mut Verifier,
    ) -> Result<(), NotNow> {
        self.known.extend(known);
        for (drv, named) in new {
            if self.closure.number(&drv).is_some_and(|no| self.closure.get(no).is_some()) {
                continue;
            }
            let derivation = verifier.add(&drv, named);
            self.closure.add(&drv, &derivation, pack);
            self.came += 1;
        }
        check_count(self.known.len() + self.came)
    }

    /// Adds what the roots and the new derivations stand on, level by level.
    async fn complete(&mut self, submit: &Submit, shelf: &mut Shelf<'_>) -> Result<(), NotNow> {
        for root in &submit.roots {
            self.closure.name(&root.drv);
        }
        let mut looked_at = 0;
        while looked_at < self.closure.iter().len() {
            // What it turns out to need gets the next numbers.
            let lacking = self.closure.iter().skip(looked_at).filter(|(.., outline)| outline.is_none());
            let lacking: BTreeSet<DrvPath> = lacking.map(|(_, drv, _)| drv.clone()).collect();
            looked_at = self.closure.iter().len();
            let asked = lacking.iter().filter(|path| !self.known.contains_key(*path));
            let known = shelf.known(asked)?;
            self.known.extend(known);
            for path in &lacking {
                // What nobody knows is reported by the plan, with who needs it.
                let Some(learned) = self.known.get(path) else { continue };
                let derivation = shelf.derivation(learned).await?;
                self.closure.add(path, &derivation, learned.pack);
            }
        }
        Ok(())
    }

    /// Finds in which packs the closure of each derivation lies, once they are few.
    async fn pack(mut self, mut verification: Verification, shelf: &mut Shelf<'_>) -> Result<Ground, NotNow> {
        let (mut packing, mut moved) = (packs::packing(&self.closure), Vec::new());
        if packing.largest() > MAX_CLOSURE_PACKS {
            verification = Verification::Done(verification.end().await?);
            shelf.repack(&mut self.closure).await?;
            packing = packs::packing(&self.closure);
            moved = self.known.into_iter().map(|(drv, learned)| (drv, learned.modulo)).collect();
        }
        if packing.largest() > MAX_PACKS {
            return Err(NotNow::Never(format!("its closure fills {} packs; {MAX_PACKS} is the limit", packing.largest())));
        }
        Ok(Ground { closure: self.closure, packing, verification, moved })
    }
}

impl Shelf<'_> {
    async fn pack(&mut self, id: PackId) -> Result<&Pack, NotNow> {
        if !self.packs.contains_key(&id) {
            self.packs.insert(id, fetch_pack(self.bucket, id).await?);
        }
        Ok(&self.packs[&id])
    }

    /// The bytes of a derivation that was verified before.
    async fn aterm(&mut self, pack: PackId, drv: &DrvPath) -> Result<Bytes, NotNow> {
        let aterm = self.pack(pack).await?.get(drv);
        aterm.map_err(|error| NotNow::Trouble(format!("{drv}: {error}")))
    }

    /// Reads a derivation that was verified before.
    async fn derivation(&mut self, learned: &Learned) -> Result<Derivation, NotNow> {
        let aterm = self.aterm(learned.pack, &learned.drv).await?;
        Derivation::parse(&learned.store_dir, &aterm).map_err(|error| NotNow::Trouble(format!("{}: {error}", learned.drv)))
    }

    /// Packs all of a closure anew, into as few packs as it fills.
    async fn repack(&mut self, closure: &mut Closure) -> Result<(), NotNow> {
        let trouble = |error| NotNow::Trouble(format!("derivations cannot be packed anew: {error}"));
        let mut left: BTreeMap<DrvPath, DrvNo> = closure.iter().map(|(no, drv, _)| (drv.clone(), no)).collect();
        while !left.is_empty() {
            let (mut writer, mut written) = (PackWriter::new(), Vec::new());
            while !writer.is_full()
                && let Some((drv, no)) = left.pop_first()
            {
                let Some(outline) = closure.get(no) else { continue };
                writer.push(&drv, self.aterm(outline.pack, &drv).await?).map_err(trouble)?;
                written.push(no);
            }
            let bytes = writer.finish().map_err(trouble)?;
            let id = PackId::of(&bytes);
            let put = self.bucket.put_once(&Key::Pack(id), bytes).await;
            put.map_err(|error| NotNow::of_bucket("a new pack", &error))?;
            for no in written {
                if let Some(outline) = closure.get_mut(no) {
                    outline.pack = id;
                }
            }
        }
        Ok(())
    }

    /// What the book says of these.
    fn known<'d>(&self, drvs: impl IntoIterator<Item = &'d DrvPath>) -> Result<BTreeMap<DrvPath, Learned>, NotNow> {
        Ok(block_in_place(|| self.book.all_learned(drvs))?)
    }
}

fn check_count(derivations: usize) -> Result<(), NotNow> {
    match derivations > MAX_CLOSURE {
        true => Err(NotNow::Never(format!("it brings more than {MAX_CLOSURE} derivations: that is the limit"))),
        false => Ok(()),
    }
}

/// A pack, and what it holds.
struct ReadPack {
    id: PackId,
    pack: Pack,
    /// What the book knows of it, which need not be read.
    known: BTreeMap<DrvPath, Learned>,
    /// The rest, of which the names are verified.
    new: BTreeMap<DrvPath, Named>,
}

async fn read(bucket: Bucket, book: Book, store_dir: StoreDir, id: PackId) -> Result<ReadPack, NotNow> {
    let pack = fetch_pack(&bucket, id).await?;
    block_in_place(|| {
        let entry = |entry: Result<(&DrvPath, Bytes), PackError>| entry.map(|(drv, aterm)| (drv.clone(), aterm));
        let came: Result<BTreeMap<DrvPath, Bytes>, PackError> = pack.iter().map(entry).collect();
        let mut came = came.map_err(|error| NotNow::Never(format!("the pack {id}: {error}")))?;
        // What is too much is not even read.
        check_count(came.len())?;
        let known = book.all_learned(came.keys())?;
        came.retain(|drv, _| !known.contains_key(drv));
        let (new, faults) = Named::read_all(&store_dir, &came);
        match faults.first() {
            Some(fault) => Err(NotNow::Never(fault.to_string())),
            None => Ok(ReadPack { id, pack, known, new }),
        }
    })
}

async fn fetch_pack(bucket: &Bucket, id: PackId) -> Result<Pack, NotNow> {
    let what = format!("the pack {id}");
    let bytes = bucket.get(&Key::Pack(id), MAX_PACK_BYTES).await.map_err(|e| NotNow::of_bucket(&what, &e))?;
    block_in_place(|| match PackId::of(&bytes) == id {
        true => Pack::open(bytes).map_err(|error| NotNow::Never(format!("{what}: {error}"))),
        false => Err(NotNow::Never(format!("{what} has other bytes than its name says"))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::derivation;
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_lies_in_many_packs_fits_into_one() {
        let (bucket, folder) = (Bucket::open("memory://").unwrap(), tempfile::tempdir().unwrap());
        let book = Book::open(folder.path()).unwrap();
        let mut closure = Closure::default();
        let drvs = [derivation(0, &[1]), derivation(1, &[2]), derivation(2, &[])];
        for (drv, derivation) in &drvs {
            let mut writer = PackWriter::new();
            writer.push(drv, derivation.write(&StoreDir::nix())).unwrap();
            let bytes = writer.finish().unwrap();
            let pack = PackId::of(&bytes);
            bucket.put_once(&Key::Pack(pack), bytes).await.unwrap();
            closure.add(drv, derivation, pack);
        }
        assert_eq!(packs::packing(&closure).largest(), 3);

        let mut shelf = Shelf { bucket: &bucket, book: &book, packs: BTreeMap::new() };
        shelf.repack(&mut closure).await.unwrap();
        assert_eq!(packs::packing(&closure).largest(), 1);
        let (drv, derivation) = &drvs[2];
        let one = closure.get(closure.number(drv).unwrap()).unwrap().pack;
        assert_eq!(shelf.aterm(one, drv).await.unwrap(), derivation.write(&StoreDir::nix()));
    }
}
