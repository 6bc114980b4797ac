//! Derivations as substitutes, for those who want to know how an item was made, or to make it themselves: the one that an
//! output came from, and all that it stands on, inputs first. A derivation is verified by its name, which is the hash of
//! its text.
//!
//! This is on top of publishing and never in its way: what cannot be served is left out, and said to be.

use std::collections::HashSet;

use bytes::Bytes;
use drover_messages::publish::{Origin, Publish};
use drover_store::{ContentAddress, DrvPath, Named, NarSummary, PackId, Sha256, StoreDir, StorePath, nar};
use tokio::sync::Mutex;

use super::PublishError;
use super::packs::Packs;
use super::shelf::{Item, Shelf};

/// What came of the serving of a closure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Derivations that were not there before.
    pub added: usize,
    /// Those that could not be served: their text, a source, or another derivation that they need is missing.
    pub left_out: usize,
}

/// Serves one closure at a time.
#[derive(Default)]
pub(super) struct Recipes {
    /// The packs of the last one: the next is mostly of the same submission.
    packs: Mutex<Option<Packs>>,
}

/// A derivation that is to be served when its inputs are.
struct Recipe {
    drv: DrvPath,
    text: Bytes,
    references: Vec<StorePath>,
    /// Which of its inputs are still to be looked at.
    inputs: Vec<StorePath>,
}

impl Recipes {
    /// Serves the closure of what an output came from. An error is the farm's: to be tried again.
    pub(super) async fn serve(&self, shelf: &Shelf, request: &Publish) -> Result<Served, PublishError> {
        let Some(root) = deriver(request) else { return Ok(Served::default()) };
        let store = &request.store_dir;
        if shelf.available.missing(store, [root.as_store_path()].into_iter()).await?.is_empty() {
            return Ok(Served::default());
        }
        let mut kept = self.packs.lock().await;
        let packs = packs(shelf, &request.closure, &mut kept).await?;
        Walk { shelf, store, packs, path: Vec::new(), left_out: HashSet::new(), added: 0 }.from(root).await
    }
}

async fn packs<'a>(shelf: &Shelf, ids: &[PackId], kept: &'a mut Option<Packs>) -> Result<&'a mut Packs, PublishError> {
    let packs = match kept.take() {
        Some(packs) if packs.are(ids) => packs,
        _ => Packs::open(&shelf.bucket, ids).await?,
    };
    Ok(kept.insert(packs))
}

fn deriver(request: &Publish) -> Option<DrvPath> {
    match &request.origin {
        Origin::Output { deriver, .. } => deriver.clone().try_into().ok(),
        Origin::Source { .. } => None,
    }
}

/// A walk down to what is served already, and up again. Names are hashes, so there are no circles.
struct Walk<'a> {
    shelf: &'a Shelf,
    store: &'a StoreDir,
    packs: &'a mut Packs,
    path: Vec<Recipe>,
    left_out: HashSet<StorePath>,
    added: usize,
}

impl Walk<'_> {
    async fn from(mut self, root: DrvPath) -> Result<Served, PublishError> {
        self.enter(root).await?;
        while let Some(recipe) = self.path.last_mut() {
            match recipe.inputs.pop() {
                Some(input) if self.left_out.contains(&input) => {}
                Some(input) => match DrvPath::try_from(input) {
                    Ok(input) => self.enter(input).await?,
                    Err(error) => tracing::warn!(%error, "an input is no derivation"),
                },
                None => self.leave().await?,
            }
        }
        let served = Served { added: self.added, left_out: self.left_out.len() };
        if served.left_out > 0 {
            tracing::warn!(added = served.added, left_out = served.left_out, "not all derivations of a closure are served");
        }
        Ok(served)
    }

    /// Goes down to a derivation, unless it is served, or was meanwhile.
    async fn enter(&mut self, drv: DrvPath) -> Result<(), PublishError> {
        if self.missing([drv.as_store_path()]).await?.is_empty() {
            return Ok(());
        }
        let Some(text) = self.packs.text(&self.shelf.bucket, &drv).await? else {
            tracing::warn!(%drv, "a derivation is in none of its packs, and is not served");
            self.left_out.insert(drv.into());
            return Ok(());
        };
        let named = match Named::read(self.store, &drv, &text) {
            Ok(named) => named,
            Err(error) => {
                tracing::warn!(%drv, %error, "a derivation is not what its name says, and is not served");
                self.left_out.insert(drv.into());
                return Ok(());
            }
        };
        let inputs = self.missing(named.derivation().input_drvs.keys().map(DrvPath::as_store_path)).await?;
        let references = named.derivation().references().into_iter().cloned().collect();
        self.path.push(Recipe { drv, text, references, inputs });
        Ok(())
    }

    /// Serves the derivation at the end of the path, whose inputs were all looked at.
    async fn leave(&mut self) -> Result<(), PublishError> {
        let Some(recipe) = self.path.pop() else { return Ok(()) };
        let missing = self.missing(&recipe.references).await?;
        if !missing.is_empty() {
            // What was left out was said to be.
            if let Some(source) = missing.iter().find(|path| !self.left_out.contains(path)) {
                tracing::warn!(drv = %recipe.drv, %source, "a derivation needs a source that the cache lacks, and is not served");
            }
            self.left_out.insert(recipe.drv.into());
            return Ok(());
        }
        let nar = nar::of_file(&recipe.text);
        let item = Item {
            store: self.store,
            path: recipe.drv.as_store_path(),
            nar: NarSummary { sha256: Sha256::of(&nar), size: nar.len() as u64 },
            references: recipe.references,
            deriver: None,
            system: None,
            ca: Some(ContentAddress::Text(Sha256::of(&recipe.text))),
        };
        self.shelf.put(&item, &nar).await?;
        self.added += 1;
        Ok(())
    }

    async fn missing<'p>(&self, paths: impl IntoIterator<Item = &'p StorePath>) -> Result<Vec<StorePath>, PublishError> {
        Ok(self.shelf.available.missing(self.store, paths.into_iter()).await?)
    }
}
