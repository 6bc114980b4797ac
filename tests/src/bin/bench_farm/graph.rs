//! What is to be built: derivations, and what they need that no derivation makes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use drover_store::{Derivation, DrvPath, OutputName, StoreDir, StorePath};
use serde::{Deserialize, Serialize};

/// The outputs of a derivation.
pub type Outputs = BTreeMap<OutputName, StorePath>;

/// Derivations.
pub struct Graph {
    pub store_dir: StoreDir,
    pub drvs: BTreeMap<DrvPath, Bytes>,
    /// Those that no other needs.
    pub roots: Vec<DrvPath>,
    pub sources: BTreeSet<StorePath>,
    pub crib: Crib,
}

/// What simulated agents know of derivations, instead of reading them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Crib {
    pub store_dir: StoreDir,
    pub systems: BTreeSet<String>,
    pub outputs: BTreeMap<DrvPath, Outputs>,
}

impl Graph {
    /// Of these derivations.
    ///
    /// # Panics
    /// When one of them is none.
    pub fn of(drvs: BTreeMap<DrvPath, Bytes>) -> Self {
        let store_dir = drvs.values().find_map(|aterm| Derivation::guess_store_dir(aterm)).unwrap_or_else(StoreDir::guix);
        let mut crib = Crib { store_dir: store_dir.clone(), systems: BTreeSet::new(), outputs: BTreeMap::new() };
        let (mut needed, mut sources) = (BTreeSet::new(), BTreeSet::new());
        for (path, aterm) in &drvs {
            let drv = Derivation::parse(&store_dir, aterm).expect("a derivation");
            needed.extend(drv.input_drvs.into_keys());
            sources.extend(drv.input_srcs);
            crib.systems.insert(drv.system);
            crib.outputs.insert(path.clone(), drv.outputs.into_iter().map(|(name, output)| (name, output.path)).collect());
        }
        let roots = drvs.keys().filter(|drv| !needed.contains(*drv)).cloned().collect();
        Self { store_dir, drvs, roots, sources, crib }
    }

    /// Every item of it, made or brought.
    pub fn items(&self) -> BTreeSet<&StorePath> {
        self.crib.outputs.values().flat_map(BTreeMap::values).chain(&self.sources).collect()
    }
}
