//! What a store knows about one of its items.

use std::collections::BTreeSet;

use drover_store::{ContentAddress, Sha256, Signature, StorePath};

/// What a store knows about a valid path, and what must be told when one is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// The path.
    pub path: StorePath,
    /// The derivation that made it, where known.
    pub deriver: Option<StorePath>,
    /// The hash of its nar.
    pub nar_hash: Sha256,
    /// The size of its nar, in bytes.
    pub nar_size: u64,
    /// The store paths that stand in it; itself too when it refers to itself.
    pub references: BTreeSet<StorePath>,
    /// When it became valid, in seconds since 1970.
    pub registered_unix_secs: u64,
    /// Whether this store built it, so that it needs no signature here.
    pub ultimate: bool,
    /// Signatures by others and by this store.
    pub signatures: Vec<Signature>,
    /// How its name follows from its content, when it does; it needs no signature then.
    pub content_address: Option<ContentAddress>,
}
