//! Whether a narinfo is to be believed.

use drover_store::{Family, NarInfo, PublicKey, StoreDir, guix};

/// The keys that are trusted.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    nix: Vec<PublicKey>,
    guix: guix::Acl,
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

    /// Also these keys of Guix's kind.
    pub fn and_guix(mut self, keys: impl IntoIterator<Item = guix::PublicKey>) -> Self {
        self.guix = self.guix.keys().iter().copied().chain(keys).collect();
        self
    }

    /// Whether a store daemon with these keys takes the item: one of them signed it, or, for Nix, its path follows from
    /// its content and the content is verified when it comes.
    pub fn accepts(&self, store_dir: &StoreDir, info: &NarInfo) -> bool {
        if store_dir.family() == Family::Guix {
            return info.signature.as_ref().is_some_and(|signature| self.guix.accepts(signature));
        }
        let references = || info.references.iter().cloned().collect();
        let follows = info.ca.as_ref().is_some_and(|ca| ca.is_of(store_dir, &info.store_path, &references()));
        let fingerprint = info.fingerprint(store_dir);
        follows || info.sigs.iter().any(|sig| self.nix.iter().any(|key| key.verify(&fingerprint, sig)))
    }
}
