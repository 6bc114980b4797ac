//! The outputs of many derivations, each verified once all of its inputs are.

use std::collections::{BTreeSet, HashMap};

use super::{Fault, Named, VerifyError};
use crate::aterm::Frame;
use crate::modulo::hashes_of;
use crate::{Derivation, DrvPath, ModuloError, OutputName, Sha256, StoreDir};

/// Verifies the outputs of derivations whose names are verified. They are added one by one, in any order, and little is kept
/// of each: what its outputs follow from. They name each other by numbers.
pub struct Verifier {
    store: StoreDir,
    paths: Vec<DrvPath>,
    numbers: HashMap<DrvPath, u32>,
    /// Those that were added, by number.
    drvs: Vec<Option<Slim>>,
    /// Sets of names of outputs; there are but a few.
    wanted: Vec<BTreeSet<OutputName>>,
    wanted_numbers: HashMap<BTreeSet<OutputName>, u32>,
}

/// What is kept of a derivation.
struct Slim {
    frame: Frame,
    inputs: Box<[Input]>,
}

/// A derivation, and what is wanted of it, by number.
#[derive(Clone, Copy)]
struct Input {
    drv: u32,
    wanted: u32,
}

impl Verifier {
    /// Of derivations of this store directory.
    pub fn new(store: StoreDir) -> Self {
        let (paths, numbers, drvs) = (Vec::new(), HashMap::new(), Vec::new());
        Self { store, paths, numbers, drvs, wanted: Vec::new(), wanted_numbers: HashMap::new() }
    }

    /// Adds one, and gives back the derivation itself, which is not kept.
    pub fn add(&mut self, path: &DrvPath, named: Named) -> Derivation {
        let Named { derivation, frame } = named;
        let input = |(input, names)| Input { drv: self.number(input), wanted: self.wanted_number(names) };
        let inputs = derivation.input_drvs.iter().map(input).collect();
        let no = self.number(path);
        self.drvs[no as usize] = Some(Slim { frame, inputs });
        derivation
    }

    /// The inputs of those that were added which were not added themselves.
    pub fn lacking(&self) -> impl Iterator<Item = &DrvPath> {
        self.paths.iter().zip(&self.drvs).filter(|(_, drv)| drv.is_none()).map(|(path, _)| path)
    }

    fn number(&mut self, path: &DrvPath) -> u32 {
        if let Some(no) = self.numbers.get(path) {
            return *no;
        }
        let (no, path) = (self.paths.len() as u32, path.apart());
        self.paths.push(path.clone());
        self.drvs.push(None);
        self.numbers.insert(path, no);
        no
    }

    fn wanted_number(&mut self, names: &BTreeSet<OutputName>) -> u32 {
        if let Some(no) = self.wanted_numbers.get(names) {
            return *no;
        }
        let no = self.wanted.len() as u32;
        self.wanted.push(names.clone());
        self.wanted_numbers.insert(names.clone(), no);
        no
    }

    /// The hash modulo of each that is right, and every fault, both in order of names. `known` gives the hash of an input that
    /// was not added. A derivation that needs a wrong one is in neither list: nothing can be said about it.
    pub fn finish(self, known: impl Fn(&DrvPath) -> Option<Sha256>) -> (Vec<(DrvPath, Sha256)>, Vec<VerifyError>) {
        let order = Order::of(&self.drvs);
        let mut results: Vec<Outcome> = vec![Outcome::Behind; self.drvs.len()];
        for n in order.sorted {
            results[n] = self.one(n, &results, &known).unwrap_or_else(Outcome::Wrong);
        }
        for n in order.in_cycles {
            results[n] = Outcome::Wrong(Fault::Cycle);
        }
        let (mut right, mut faults) = (Vec::new(), Vec::new());
        for ((drv, _), result) in self.paths.into_iter().zip(self.drvs).zip(results).filter(|((_, drv), _)| drv.is_some()) {
            match result {
                Outcome::Right(modulo) => right.push((drv, modulo)),
                Outcome::Wrong(fault) => faults.push(VerifyError { drv, fault }),
                Outcome::Behind => {}
            }
        }
        right.sort_unstable();
        faults.sort_by(|a, b| a.drv.cmp(&b.drv));
        (right, faults)
    }

    /// Verifies number `n`, whose inputs have their results.
    fn one(&self, n: usize, results: &[Outcome], known: &impl Fn(&DrvPath) -> Option<Sha256>) -> Result<Outcome, Fault> {
        let Some(Slim { frame, inputs }) = &self.drvs[n] else { return Ok(Outcome::Behind) };
        for input in inputs {
            let Some(needed) = &self.drvs[input.drv as usize] else { continue };
            if !matches!(results[input.drv as usize], Outcome::Right(_)) {
                return Ok(Outcome::Behind);
            }
            let is_there = |name: &&OutputName| needed.frame.outputs.iter().any(|(made, _)| made == *name);
            if let Some(name) = self.wanted[input.wanted as usize].iter().find(|name| !is_there(name)) {
                return Err(Fault::NoSuchOutput { input: self.paths[input.drv as usize].clone(), name: name.clone() });
            }
        }
        let lookup = |input: &Input| {
            let path = &self.paths[input.drv as usize];
            let hash = match (&self.drvs[input.drv as usize], &results[input.drv as usize]) {
                (Some(_), Outcome::Right(modulo)) => Some(*modulo),
                (Some(_), _) => None,
                (None, _) => known(path),
            };
            hash.map(|hash| (hash, &self.wanted[input.wanted as usize])).ok_or_else(|| ModuloError::MissingInput(path.clone()))
        };
        let hashes = hashes_of(&self.store, &self.paths[n], frame, || inputs.iter().map(lookup).collect())?;
        for ((name, output), computed) in frame.outputs.iter().zip(hashes.outputs.into_values()) {
            if output.path != computed {
                return Err(Fault::WrongOutput { name: name.clone(), said: output.path.clone(), computed });
            }
        }
        Ok(Outcome::Right(hashes.modulo))
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
    fn of(drvs: &[Option<Slim>]) -> Self {
        let mut missing = vec![0_usize; drvs.len()];
        let mut dependents: Vec<Vec<u32>> = vec![Vec::new(); drvs.len()];
        for (n, drv) in drvs.iter().enumerate() {
            let inputs = drv.iter().flat_map(|drv| &drv.inputs).map(|input| input.drv as usize);
            for i in inputs.filter(|i| drvs[*i].is_some()) {
                missing[n] += 1;
                dependents[i].push(n as u32);
            }
        }
        let mut sorted: Vec<usize> = (0..missing.len()).filter(|n| missing[*n] == 0).collect();
        let mut next = 0;
        while let Some(&n) = sorted.get(next) {
            next += 1;
            for dependent in dependents[n].iter().map(|n| *n as usize) {
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
