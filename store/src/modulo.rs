//! The hash of a derivation "modulo fixed outputs": what its output paths follow from.
//!
//! It is the hash of the `.drv` with every input derivation replaced by that input's own such hash, so that a change that
//! cannot matter (how a fixed output is downloaded) changes nothing downstream. Nix: `derivations.cc`, `hashDerivationModulo`;
//! inputs that have the same hash become one, as in Guix's `coalesce-duplicate-inputs`.

use std::collections::{BTreeMap, HashMap};

use crate::aterm::{ReplacedInputs, write_modulo};
use crate::{Derivation, DrvPath, OutputName, ParseError, Sha256, StoreDir, StorePath, compute};

/// The hashes of derivations whose inputs are known.
#[derive(Debug, Clone, Default)]
pub struct Modulo {
    memo: HashMap<DrvPath, Sha256>,
}

/// What follows from one derivation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrvHashes {
    /// What stands for it in the derivations that need it.
    pub modulo: Sha256,
    /// Where its outputs must be.
    pub outputs: BTreeMap<OutputName, StorePath>,
}

impl Modulo {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a hash known, computed before or elsewhere.
    pub fn insert(&mut self, path: DrvPath, hash: Sha256) {
        self.memo.insert(path, hash);
    }

    /// The hash of this derivation, if it is known.
    pub fn get(&self, path: &DrvPath) -> Option<Sha256> {
        self.memo.get(path).copied()
    }

    /// Computes and remembers the hash of `drv`, all of whose inputs must be known unless its output is fixed; the error
    /// names the first that is not.
    pub fn add(&mut self, store: &StoreDir, path: &DrvPath, drv: &Derivation) -> Result<Result<DrvHashes, ParseError>, DrvPath> {
        let hashes = hashes_of(store, path, drv, |input| self.get(input))?;
        if let Ok(hashes) = &hashes {
            self.insert(path.clone(), hashes.modulo);
        }
        Ok(hashes)
    }
}

/// As [`Modulo::add`], with any look-up. The outer error is an unknown input, the inner one an impossible name.
pub(crate) fn hashes_of(
    store: &StoreDir,
    path: &DrvPath,
    drv: &Derivation,
    known: impl Fn(&DrvPath) -> Option<Sha256>,
) -> Result<Result<DrvHashes, ParseError>, DrvPath> {
    if let Some(hashes) = fixed_hashes(store, path, drv) {
        return Ok(hashes);
    }
    let mut inputs = ReplacedInputs::new();
    for (input, names) in &drv.input_drvs {
        let hash = known(input).ok_or_else(|| input.clone())?;
        inputs.entry(hash).or_default().extend(names);
    }
    let modulo = Sha256::of(&write_modulo(drv, store, &inputs, false));
    let masked = Sha256::of(&write_modulo(drv, store, &inputs, true));
    let output = |name: &OutputName| Ok((name.clone(), compute::output_path(store, path.name_without_drv(), name, &masked)?));
    let outputs = drv.outputs.keys().map(output).collect::<Result<_, _>>();
    Ok(outputs.map(|outputs| DrvHashes { modulo, outputs }))
}

/// A fixed output stands for itself, whatever it is made from.
fn fixed_hashes(store: &StoreDir, path: &DrvPath, drv: &Derivation) -> Option<Result<DrvHashes, ParseError>> {
    let (name, output) = drv.outputs.iter().next()?;
    let fixed = output.fixed?;
    Some(compute::fixed_output_path(store, path.name_without_drv(), &fixed).map(|computed| {
        let hex = fixed.digest.to_hex();
        let text = format!("fixed:out:{}:{hex}:{}", fixed.method_algo(), store.path(&computed));
        DrvHashes { modulo: Sha256::of(text.as_bytes()), outputs: BTreeMap::from([(name.clone(), computed)]) }
    }))
}
