//! Names that many rows speak of, kept once in memory: most items are inputs of many builds, and each row spells them out.

use std::collections::HashSet;
use std::sync::Arc;

use drover_scheduler_core::{Build, Product};
use drover_store::{OutputName, StoreDir, StorePath};

/// The names that were read so far.
#[derive(Default)]
pub(super) struct Names {
    paths: HashSet<StorePath>,
    store_dirs: Vec<StoreDir>,
}

impl Names {
    /// A path, the same for all that speak of it.
    pub(super) fn path(&mut self, path: &StorePath) -> StorePath {
        if let Some(known) = self.paths.get(path) {
            return known.clone();
        }
        self.paths.insert(path.clone());
        path.clone()
    }

    /// A store directory. There are but a few.
    pub(super) fn store_dir(&mut self, store_dir: &StoreDir) -> StoreDir {
        if let Some(known) = self.store_dirs.iter().find(|known| *known == store_dir) {
            return known.clone();
        }
        self.store_dirs.push(store_dir.clone());
        store_dir.clone()
    }

    /// Lets a build that was just read share its names with others.
    pub(super) fn share(&mut self, build: &mut Build) {
        let Some(recipe) = Arc::get_mut(&mut build.recipe) else { return };
        recipe.store_dir = self.store_dir(&recipe.store_dir);
        recipe.inputs = recipe.inputs.iter().map(|path| self.path(path)).collect();
        let product =
            |(name, made): (&OutputName, &Product)| (name.clone(), Product { path: self.path(&made.path), ca: made.ca });
        recipe.outputs = recipe.outputs.iter().map(product).collect();
    }

    /// All paths, in order.
    pub(super) fn paths(&self) -> Vec<StorePath> {
        let mut paths: Vec<StorePath> = self.paths.iter().cloned().collect();
        paths.sort_unstable();
        paths
    }
}
