//! What a daemon is asked to build.

use std::collections::BTreeSet;

use drover_store::{Derivation, DrvPath, StorePath};

/// One derivation to build, and what it needs.
///
/// `nix-daemon` is told the derivation itself; `guix-daemon` reads it from its store, where it must be with its
/// whole closure: see [`StoreDaemon::needs_closure`](crate::StoreDaemon::needs_closure).
#[derive(Clone, Debug)]
pub struct Job<'a> {
    drv: &'a DrvPath,
    derivation: &'a Derivation,
    inputs: BTreeSet<StorePath>,
}

impl<'a> Job<'a> {
    /// `inputs` are the outputs of the input derivations that are used, which must be valid in the store
    /// when it is built. The derivation's own sources are added.
    pub fn new(drv: &'a DrvPath, derivation: &'a Derivation, inputs: impl IntoIterator<Item = StorePath>) -> Self {
        let inputs = inputs.into_iter().chain(derivation.input_srcs.iter().cloned()).collect();
        Self { drv, derivation, inputs }
    }

    /// The derivation's name in the store.
    pub fn drv(&self) -> &'a DrvPath {
        self.drv
    }

    /// What stands in it.
    pub fn derivation(&self) -> &'a Derivation {
        self.derivation
    }

    /// All that must be valid in the store before the build.
    pub fn inputs(&self) -> &BTreeSet<StorePath> {
        &self.inputs
    }

    /// What must be valid in the store after it.
    pub fn outputs(&self) -> BTreeSet<StorePath> {
        self.derivation.outputs.values().map(|output| output.path.clone()).collect()
    }

    /// Whether its output's name follows from its content, so that no trust is needed to build it.
    pub fn is_fixed_output(&self) -> bool {
        self.derivation.is_fixed_output()
    }
}
