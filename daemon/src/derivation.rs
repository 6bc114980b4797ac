//! What a daemon must be told to build a derivation that is not in its store.

use std::collections::BTreeSet;

use drover_store::{Derivation, StoreDir, StorePath};

use crate::wire::Request;

/// A derivation with its inputs resolved to store paths, so that neither the `.drv` nor its closure is
/// needed in the store that builds it.
///
/// It borrows the derivation, whose builder, arguments and environment go on the wire as they are.
#[derive(Clone, Debug)]
pub struct BasicDerivation<'a> {
    derivation: &'a Derivation,
    inputs: BTreeSet<StorePath>,
}

impl<'a> BasicDerivation<'a> {
    /// `inputs` are the outputs of the input derivations that are used, which must be valid in the store
    /// when it is built. The derivation's own sources are added.
    pub fn new(derivation: &'a Derivation, inputs: impl IntoIterator<Item = StorePath>) -> Self {
        let inputs = inputs.into_iter().chain(derivation.input_srcs.iter().cloned()).collect();
        Self { derivation, inputs }
    }

    /// All that must be valid in the store before the build.
    pub fn inputs(&self) -> &BTreeSet<StorePath> {
        &self.inputs
    }

    /// Whether its output's name follows from its content, so that no trust is needed to build it.
    pub fn is_fixed_output(&self) -> bool {
        self.derivation.is_fixed_output()
    }

    /// Adds it as `writeDerivation` of Nix does: outputs (name, path, hash algorithm, hash), inputs,
    /// system, builder, arguments, environment.
    pub(crate) fn write(&self, store: &StoreDir, request: &mut Request) {
        let derivation = self.derivation;
        request.number(derivation.outputs.len() as u64);
        for (name, output) in &derivation.outputs {
            request.bytes(name.as_str()).bytes(store.path(&output.path));
            match &output.fixed {
                Some(fixed) => request.bytes(fixed.method_algo()).bytes(fixed.digest.to_hex()),
                None => request.bytes("").bytes(""),
            };
        }
        request.list(self.inputs.iter().map(|path| store.path(path)));
        request.bytes(&derivation.system).bytes(&derivation.builder).list(derivation.args.iter());
        request.number(derivation.env.len() as u64);
        for (name, value) in &derivation.env {
            request.bytes(name).bytes(value);
        }
    }
}
