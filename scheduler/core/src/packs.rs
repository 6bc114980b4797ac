//! The packs that hold whole closures. Many derivations share such a set, so it is kept once, under a name of its own; what
//! is planned does not know of it.

use std::collections::BTreeSet;
use std::fmt;

use drover_store::{PackId, Sha256};
use serde::{Deserialize, Serialize};

/// Some packs.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackSet(BTreeSet<PackId>);

/// The name of a set of packs: the hash of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackSetId(Sha256);

impl PackSet {
    /// Its name.
    pub fn id(&self) -> PackSetId {
        let names: Vec<u8> = self.0.iter().flat_map(|pack| *pack.0.as_bytes()).collect();
        PackSetId(Sha256::of(&names))
    }

    /// The packs, in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = PackId> {
        self.0.iter().copied()
    }
}

impl Default for PackSetId {
    /// The name of no packs at all.
    fn default() -> Self {
        PackSet::default().id()
    }
}

impl FromIterator<PackId> for PackSet {
    fn from_iter<I: IntoIterator<Item = PackId>>(packs: I) -> Self {
        Self(packs.into_iter().collect())
    }
}

impl fmt::Display for PackSetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}
