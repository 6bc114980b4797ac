//! Store directories, kept once in memory: every row names one, and there are but a few.

use drover_store::StoreDir;

/// Those that were read so far.
#[derive(Default)]
pub(super) struct StoreDirs(Vec<StoreDir>);

impl StoreDirs {
    /// A store directory, the same for all that name it.
    pub(super) fn shared(&mut self, store_dir: &StoreDir) -> StoreDir {
        if let Some(known) = self.0.iter().find(|known| *known == store_dir) {
            return known.clone();
        }
        self.0.push(store_dir.clone());
        store_dir.clone()
    }
}
