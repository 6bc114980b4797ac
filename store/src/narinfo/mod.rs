//! The narinfo of a store item: where its nar is, what it must be, and who vouches for it. Nix and Guix each have an order of
//! fields and a kind of signature of their own; a store's family says which is written, and both are read.

mod read;
mod write;

use crate::{ContentAddress, ParseError, Sha256, Signature, StoreDir, StorePath, guix};

/// The largest narinfo that is read, in bytes.
pub const MAX_NARINFO_BYTES: usize = 1 << 20;

/// What a narinfo says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarInfo {
    /// The store item.
    pub store_path: StorePath,
    /// Its nar, compressed in different ways; never empty. Guix may have several, Nix has one.
    pub files: Vec<NarFile>,
    /// Of the nar.
    pub nar_hash: Sha256,
    /// Of the nar, in bytes.
    pub nar_size: u64,
    /// What it refers to, itself among them if so.
    pub references: Vec<StorePath>,
    /// The derivation that made it.
    pub deriver: Option<StorePath>,
    /// The system that it was built for; only old Guix and old Nix say so.
    pub system: Option<String>,
    /// Who vouches for it, in Nix's way.
    pub sigs: Vec<Signature>,
    /// Who vouches for it, in Guix's way. One that was read is of this narinfo; whether its key made it is not known yet.
    pub signature: Option<guix::Signature>,
    /// The proof that its path follows from its contents; only Nix says so.
    pub ca: Option<ContentAddress>,
}

/// A compressed nar, ready to be fetched. Nothing here is signed by anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarFile {
    /// Where it is, relative to the cache.
    pub url: String,
    /// `none`, `zstd`, `lzip`, …; what Nix takes for granted is `bzip2`.
    pub compression: String,
    /// Of the compressed nar; Guix does not say it.
    pub file_hash: Option<Sha256>,
    /// Of the compressed nar, in bytes.
    pub file_size: Option<u64>,
}

impl NarInfo {
    /// Reads a narinfo. Fields that are not known are passed over, and so is a Guix signature that is of another text, or of a
    /// kind that is not known.
    pub fn parse(store: &StoreDir, text: &str) -> Result<Self, ParseError> {
        read::read(store, text)
    }

    /// The bytes that Nix would write; for a store of Guix, that Guix would write.
    pub fn write(&self, store: &StoreDir) -> String {
        write::write(self, store)
    }

    /// What Nix signs: path, nar hash, nar size, and references (`path-info.cc`, `fingerprint`).
    pub fn fingerprint(&self, store: &StoreDir) -> String {
        let mut references: Vec<String> = self.references.iter().map(|path| store.path(path)).collect();
        references.sort_unstable();
        format!("1;{};{};{};{}", store.path(&self.store_path), self.nar_hash, self.nar_size, references.join(","))
    }

    /// What Guix signs: all that stands above the signature.
    pub fn signed_lines(&self, store: &StoreDir) -> String {
        write::guix_lines(self, store)
    }
}
