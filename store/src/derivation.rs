//! A derivation: the recipe for store items. What it is; how it is written down is the business of `aterm`.

use std::collections::{BTreeMap, BTreeSet};

use crate::aterm::{self, DrvParseError};
use crate::{DrvPath, Output, OutputName, ParseError, Sha256, StoreDir, StorePath, compute};

/// One derivation. Its own name is not part of it, and neither is the store directory that its paths are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// What it makes; never empty.
    pub outputs: BTreeMap<OutputName, Output>,
    /// What must be built before, and which outputs of it are needed.
    pub input_drvs: BTreeMap<DrvPath, BTreeSet<OutputName>>,
    /// What must be in the store before, and is not built.
    pub input_srcs: BTreeSet<StorePath>,
    /// The system that it builds on, `x86_64-linux`.
    pub system: String,
    /// The program to run, or `builtin:…`.
    pub builder: Vec<u8>,
    /// Its arguments.
    pub args: Vec<Vec<u8>>,
    /// Its environment.
    pub env: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Derivation {
    /// Reads a `.drv`. Accepts what [`Derivation::write`] gives, byte for byte, and nothing else.
    pub fn parse(store: &StoreDir, aterm: &[u8]) -> Result<Self, DrvParseError> {
        aterm::read(store, aterm)
    }

    /// The store directory that a `.drv` seems to be of, from its first output; to be verified by reading it.
    pub fn guess_store_dir(aterm: &[u8]) -> Option<StoreDir> {
        aterm::guess_store_dir(aterm)
    }

    /// The bytes of the `.drv`.
    pub fn write(&self, store: &StoreDir) -> Vec<u8> {
        aterm::write(self, store)
    }

    /// The name of the `.drv` itself: the path of its text. `name` is the derivation's, without `.drv`.
    pub fn path(&self, store: &StoreDir, name: &str) -> Result<DrvPath, ParseError> {
        self.path_of_text(store, name, &self.write(store))
    }

    /// As [`Derivation::path`], where the bytes are at hand.
    pub(crate) fn path_of_text(&self, store: &StoreDir, name: &str, aterm: &[u8]) -> Result<DrvPath, ParseError> {
        let references = self.references();
        compute::text_path(store, &format!("{name}.drv"), &Sha256::of(aterm), references.iter().copied())?.try_into()
    }

    /// The store paths that the `.drv` mentions as its inputs, sorted: its own references in the store.
    pub fn references(&self) -> Vec<&StorePath> {
        let drvs = self.input_drvs.keys().map(DrvPath::as_store_path);
        let mut all: Vec<&StorePath> = drvs.chain(&self.input_srcs).collect();
        // Two sorted runs, which a stable sort merges.
        all.sort();
        all.dedup();
        all
    }

    /// Whether its contents are known beforehand: then it may use the network, and its inputs do not matter to who uses it.
    pub fn is_fixed_output(&self) -> bool {
        self.outputs.values().any(|output| output.fixed.is_some())
    }

    /// A variable of the environment, if it is there and is UTF-8.
    pub fn env_str(&self, name: &str) -> Option<&str> {
        self.env.get(name.as_bytes()).and_then(|value| str::from_utf8(value).ok())
    }

    /// `requiredSystemFeatures`: what a machine must have to build it.
    pub fn required_system_features(&self) -> Vec<String> {
        self.env_str("requiredSystemFeatures").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
    }
}
