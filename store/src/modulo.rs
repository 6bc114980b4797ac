//! The hash of a derivation "modulo fixed outputs": what its output paths follow from.
//!
//! It is the hash of the `.drv` with every input derivation replaced by that input's own such hash, so that a change that
//! cannot matter (how a fixed output is downloaded) changes nothing downstream. Nix: `derivations.cc`, `hashDerivationModulo`;
//! inputs that have the same hash become one, as in Guix's `coalesce-duplicate-inputs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::aterm::Frame;
use crate::{Derivation, DrvPath, Output, OutputName, ParseError, Sha256, StoreDir, StorePath, compute};

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

    /// Computes and remembers the hash of `drv`, all of whose inputs must be known, unless its output is fixed.
    pub fn add(&mut self, store: &StoreDir, path: &DrvPath, drv: &Derivation) -> Result<DrvHashes, ModuloError> {
        let known = |(input, names)| match self.get(input) {
            Some(hash) => Ok((hash, names)),
            None => Err(ModuloError::MissingInput(input.clone())),
        };
        let hashes = hashes_of(store, path, &Frame::of(drv, store), || drv.input_drvs.iter().map(known).collect())?;
        self.insert(path.clone(), hashes.modulo);
        Ok(hashes)
    }
}

/// Why there is no hash of a derivation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuloError {
    /// An input is not known: nothing can be said.
    #[error("its input {0} is missing")]
    MissingInput(DrvPath),
    /// Its name is so long that the paths of its outputs cannot be.
    #[error(transparent)]
    ImpossibleName(#[from] ParseError),
}

/// What follows from a derivation. `inputs` gives the hashes of its inputs in their order, with what it wants of each; it is
/// asked only if they matter.
pub(crate) fn hashes_of<'n>(
    store: &StoreDir,
    path: &DrvPath,
    drv: &Frame,
    inputs: impl FnOnce() -> Result<Vec<(Sha256, &'n BTreeSet<OutputName>)>, ModuloError>,
) -> Result<DrvHashes, ModuloError> {
    if let Some(hashes) = fixed_hashes(store, path, drv) {
        return Ok(hashes?);
    }
    let [whole, masked] = drv.write_modulo(store, inputs()?).map(|text| Sha256::of(&text));
    let output = |(name, _): &(OutputName, Output)| {
        Ok((name.clone(), compute::output_path(store, path.name_without_drv(), name, &masked)?))
    };
    let outputs = drv.outputs.iter().map(output).collect::<Result<_, ParseError>>()?;
    Ok(DrvHashes { modulo: whole, outputs })
}

/// A fixed output stands for itself, whatever it is made from.
fn fixed_hashes(store: &StoreDir, path: &DrvPath, drv: &Frame) -> Option<Result<DrvHashes, ParseError>> {
    let (name, output) = drv.outputs.first()?;
    let fixed = output.fixed?;
    Some(compute::fixed_output_path(store, path.name_without_drv(), &fixed).map(|computed| {
        let hex = fixed.digest.to_hex();
        let text = format!("fixed:out:{}:{hex}:{}", fixed.method_algo(), store.path(&computed));
        DrvHashes { modulo: Sha256::of(text.as_bytes()), outputs: BTreeMap::from([(name.clone(), computed)]) }
    }))
}
