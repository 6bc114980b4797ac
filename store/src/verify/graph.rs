//! The outputs of many derivations, each verified once all of its inputs are.

use std::collections::{BTreeMap, HashMap};

use super::{Fault, Named, Verified, VerifyError};
use crate::modulo::hashes_of;
use crate::{Derivation, DrvPath, ModuloError, Sha256, StoreDir};

/// The derivations as numbers, in order of their names.
pub(super) struct Graph<'s> {
    store: &'s StoreDir,
    paths: Vec<DrvPath>,
    drvs: Vec<Derivation>,
    /// For each derivation the numbers of its inputs, in their order; none for those that are not among them.
    inputs: Vec<Vec<Option<usize>>>,
}

impl<'s> Graph<'s> {
    pub(super) fn new(store: &'s StoreDir, named: BTreeMap<DrvPath, Named>) -> Self {
        let (paths, drvs): (Vec<DrvPath>, Vec<Derivation>) = named.into_iter().map(|(path, named)| (path, named.0)).unzip();
        let numbers: HashMap<&DrvPath, usize> = paths.iter().zip(0..).collect();
        let inputs = drvs.iter().map(|drv| drv.input_drvs.keys().map(|input| numbers.get(input).copied()).collect()).collect();
        Self { store, paths, drvs, inputs }
    }

    pub(super) fn verify(self, known: impl Fn(&DrvPath) -> Option<Sha256>) -> (BTreeMap<DrvPath, Verified>, Vec<VerifyError>) {
        let order = Order::of(&self.inputs);
        let mut results: Vec<Outcome> = vec![Outcome::Behind; self.drvs.len()];
        for n in order.sorted {
            results[n] = self.one(n, &results, &known).unwrap_or_else(Outcome::Wrong);
        }
        for n in order.in_cycles {
            results[n] = Outcome::Wrong(Fault::Cycle);
        }
        self.split(results)
    }

    /// Verifies number `n`, whose inputs have their results.
    fn one(&self, n: usize, results: &[Outcome], known: &impl Fn(&DrvPath) -> Option<Sha256>) -> Result<Outcome, Fault> {
        let drv = &self.drvs[n];
        for ((input, names), i) in drv.input_drvs.iter().zip(&self.inputs[n]) {
            let Some(i) = *i else { continue };
            if !matches!(results[i], Outcome::Right(_)) {
                return Ok(Outcome::Behind);
            }
            if let Some(name) = names.iter().find(|name| !self.drvs[i].outputs.contains_key(*name)) {
                return Err(Fault::NoSuchOutput { input: input.clone(), name: name.clone() });
            }
        }
        let lookup = |(input, i): (&DrvPath, &Option<usize>)| {
            let hash = match i.map(|i| &results[i]) {
                Some(Outcome::Right(modulo)) => Some(*modulo),
                Some(_) => None,
                None => known(input),
            };
            hash.ok_or_else(|| ModuloError::MissingInput(input.clone()))
        };
        let inputs = || drv.input_drvs.keys().zip(&self.inputs[n]).map(lookup).collect();
        let hashes = hashes_of(self.store, &self.paths[n], drv, inputs)?;
        for ((name, output), computed) in drv.outputs.iter().zip(hashes.outputs.into_values()) {
            if output.path != computed {
                return Err(Fault::WrongOutput { name: name.clone(), said: output.path.clone(), computed });
            }
        }
        Ok(Outcome::Right(hashes.modulo))
    }

    fn split(self, results: Vec<Outcome>) -> (BTreeMap<DrvPath, Verified>, Vec<VerifyError>) {
        let mut verified = Vec::with_capacity(results.len());
        let mut faults = Vec::new();
        for ((drv, derivation), result) in self.paths.into_iter().zip(self.drvs).zip(results) {
            match result {
                Outcome::Right(modulo) => verified.push((drv, Verified { derivation, modulo })),
                Outcome::Wrong(fault) => faults.push(VerifyError { drv, fault }),
                Outcome::Behind => {}
            }
        }
        (BTreeMap::from_iter(verified), faults)
    }
}

/// What is known about one derivation.
#[derive(Debug, Clone)]
enum Outcome {
    /// It is right, and this is its hash modulo.
    Right(Sha256),
    /// It is wrong by itself.
    Wrong(Fault),
    /// Something that it needs is wrong.
    Behind,
}

/// Inputs before what needs them (Kahn's algorithm).
struct Order {
    sorted: Vec<usize>,
    in_cycles: Vec<usize>,
}

impl Order {
    fn of(inputs: &[Vec<Option<usize>>]) -> Self {
        let mut missing = vec![0_usize; inputs.len()];
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); inputs.len()];
        for (n, inputs) in inputs.iter().enumerate() {
            for i in inputs.iter().flatten() {
                missing[n] += 1;
                dependents[*i].push(n);
            }
        }
        let mut sorted: Vec<usize> = (0..missing.len()).filter(|n| missing[*n] == 0).collect();
        let mut next = 0;
        while let Some(&n) = sorted.get(next) {
            next += 1;
            for &dependent in &dependents[n] {
                missing[dependent] -= 1;
                if missing[dependent] == 0 {
                    sorted.push(dependent);
                }
            }
        }
        let in_cycles = (0..missing.len()).filter(|n| missing[*n] > 0).collect();
        Self { sorted, in_cycles }
    }
}
