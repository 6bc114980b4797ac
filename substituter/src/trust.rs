//! Whether a narinfo is to be believed.

use drover_store::{NarInfo, PublicKey, StoreDir};

/// The keys that are trusted.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    nix: Vec<PublicKey>,
}

impl Trust {
    /// Nobody.
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Also these keys of Nix's kind.
    pub fn and_nix(mut self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        self.nix.extend(keys);
        self
    }

    /// Whether a store daemon with these keys takes the item: one of them signed it, or, for Nix, its path follows from
    /// its content and the content is verified when it comes.
    pub fn accepts(&self, store_dir: &StoreDir, info: &NarInfo) -> bool {
        let references = || info.references.iter().cloned().collect();
        let follows = info.ca.as_ref().is_some_and(|ca| ca.is_of(store_dir, &info.store_path, &references()));
        let fingerprint = info.fingerprint(store_dir);
        follows || info.sigs.iter().any(|sig| self.nix.iter().any(|key| key.verify(&fingerprint, sig)))
    }
}
