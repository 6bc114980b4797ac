//! Whether derivations are what their names say: every `.drv` name and every output path is a hash of its content, so all of
//! them can be computed again, and a liar is found.
//!
//! Any number of derivations at once, in any order, of any depth: there is no recursion. Inputs that are not among them are
//! asked for, since a submission builds on what is known already.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::modulo::hashes_of;
use crate::{Derivation, DrvParseError, DrvPath, OutputName, ParseError, Sha256, StoreDir, StorePath};

/// A derivation that is what it says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The derivation.
    pub derivation: Derivation,
    /// Its hash modulo fixed outputs: worth keeping, since what needs it can be verified by that alone.
    pub modulo: Sha256,
}

/// A derivation that is not what it says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{drv}: {fault}")]
pub struct VerifyError {
    /// Which one.
    pub drv: DrvPath,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a derivation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] DrvParseError),
    /// Its bytes hash to another name.
    #[error("its contents belong to {0}")]
    WrongName(DrvPath),
    /// An output is not where it must be.
    #[error("its output {name} is said to be {said}, but must be {computed}")]
    WrongOutput {
        /// The output.
        name: OutputName,
        /// The path in the `.drv`.
        said: StorePath,
        /// The path that follows from it.
        computed: StorePath,
    },
    /// Its name is so long that a path cannot be made of it.
    #[error(transparent)]
    ImpossibleName(ParseError),
    /// It needs an output that its input does not have.
    #[error("it needs the output {name} of {input}, which has none of that name")]
    NoSuchOutput {
        /// The input.
        input: DrvPath,
        /// The output that it lacks.
        name: OutputName,
    },
    /// An input is neither given nor known: not wrong, but nothing can be said.
    #[error("its input {0} is missing")]
    MissingInput(DrvPath),
    /// It needs itself, or something that does.
    #[error("its inputs go round in a circle")]
    Cycle,
}

/// A derivation whose bytes belong to its name; its outputs are not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named(Derivation);

impl Named {
    /// Reads `aterm` and verifies that `path` is its name. Needs nothing else, so that many threads may do it.
    pub fn read(store: &StoreDir, path: &DrvPath, aterm: &[u8]) -> Result<Self, VerifyError> {
        let fail = |fault| VerifyError { drv: path.clone(), fault };
        let derivation = Derivation::parse(store, aterm).map_err(|e| fail(e.into()))?;
        let computed =
            derivation.path_of_text(store, path.name_without_drv(), aterm).map_err(|e| fail(Fault::ImpossibleName(e)))?;
        if computed != *path {
            return Err(fail(Fault::WrongName(computed)));
        }
        Ok(Self(derivation))
    }

    /// What was read.
    pub fn derivation(&self) -> &Derivation {
        &self.0
    }
}

/// Verifies these derivations: reads each, and computes its name and its output paths. `known` gives the hash modulo of an
/// input that is not among them. The first fault is returned, by order of names.
pub fn verify(
    store: &StoreDir,
    drvs: &BTreeMap<DrvPath, Bytes>,
    known: impl Fn(&DrvPath) -> Option<Sha256>,
) -> Result<BTreeMap<DrvPath, Verified>, VerifyError> {
    let mut named = BTreeMap::new();
    for (path, aterm) in drvs {
        named.insert(path.clone(), Named::read(store, path, aterm)?);
    }
    let (verified, faults) = verify_all(store, named, known);
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(verified),
    }
}

/// The second half of [`verify()`], which finds every fault. A derivation that needs a wrong one is in neither list: nothing
/// can be said about it.
pub fn verify_all(
    store: &StoreDir,
    named: BTreeMap<DrvPath, Named>,
    known: impl Fn(&DrvPath) -> Option<Sha256>,
) -> (BTreeMap<DrvPath, Verified>, Vec<VerifyError>) {
    Graph::new(store, named).verify(known)
}

/// The derivations as numbers, in order of their names.
struct Graph<'s> {
    store: &'s StoreDir,
    paths: Vec<DrvPath>,
    drvs: Vec<Derivation>,
    numbers: HashMap<DrvPath, usize>,
}

impl<'s> Graph<'s> {
    fn new(store: &'s StoreDir, named: BTreeMap<DrvPath, Named>) -> Self {
        let numbers = named.keys().cloned().zip(0..).collect();
        let (paths, drvs) = named.into_iter().map(|(path, named)| (path, named.0)).unzip();
        Self { store, paths, drvs, numbers }
    }

    fn verify(self, known: impl Fn(&DrvPath) -> Option<Sha256>) -> (BTreeMap<DrvPath, Verified>, Vec<VerifyError>) {
        let order = Order::of(&self);
        let mut results: Vec<Result_> = vec![Result_::Behind; self.drvs.len()];
        for n in order.sorted {
            results[n] = self.one(n, &results, &known);
        }
        for n in order.in_cycles {
            results[n] = Result_::Wrong(Fault::Cycle);
        }
        self.split(results)
    }

    /// Verifies number `n`, whose inputs have their results.
    fn one(&self, n: usize, results: &[Result_], known: &impl Fn(&DrvPath) -> Option<Sha256>) -> Result_ {
        let drv = &self.drvs[n];
        for (input, names) in &drv.input_drvs {
            let Some(&i) = self.numbers.get(input) else { continue };
            if !matches!(results[i], Result_::Right(_)) {
                return Result_::Behind;
            }
            if let Some(name) = names.iter().find(|name| !self.drvs[i].outputs.contains_key(*name)) {
                return Result_::Wrong(Fault::NoSuchOutput { input: input.clone(), name: name.clone() });
            }
        }
        let lookup = |input: &DrvPath| match self.numbers.get(input).map(|i| &results[*i]) {
            Some(Result_::Right(modulo)) => Some(*modulo),
            Some(_) => None,
            None => known(input),
        };
        let hashes = match hashes_of(self.store, &self.paths[n], drv, lookup) {
            Err(input) => return Result_::Wrong(Fault::MissingInput(input)),
            Ok(Err(e)) => return Result_::Wrong(Fault::ImpossibleName(e)),
            Ok(Ok(hashes)) => hashes,
        };
        for ((name, output), computed) in drv.outputs.iter().zip(hashes.outputs.into_values()) {
            if output.path != computed {
                return Result_::Wrong(Fault::WrongOutput { name: name.clone(), said: output.path.clone(), computed });
            }
        }
        Result_::Right(hashes.modulo)
    }

    fn split(self, results: Vec<Result_>) -> (BTreeMap<DrvPath, Verified>, Vec<VerifyError>) {
        let mut verified = Vec::with_capacity(results.len());
        let mut faults = Vec::new();
        for ((drv, derivation), result) in self.paths.into_iter().zip(self.drvs).zip(results) {
            match result {
                Result_::Right(modulo) => verified.push((drv, Verified { derivation, modulo })),
                Result_::Wrong(fault) => faults.push(VerifyError { drv, fault }),
                Result_::Behind => {}
            }
        }
        (BTreeMap::from_iter(verified), faults)
    }
}

/// What is known about one derivation.
#[derive(Debug, Clone)]
enum Result_ {
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
    fn of(graph: &Graph) -> Self {
        let mut missing = vec![0_usize; graph.drvs.len()];
        let mut dependents: Vec<Vec<u32>> = vec![Vec::new(); graph.drvs.len()];
        for (n, drv) in graph.drvs.iter().enumerate() {
            for i in drv.input_drvs.keys().filter_map(|input| graph.numbers.get(input)) {
                missing[n] += 1;
                dependents[*i].push(n as u32);
            }
        }
        let mut sorted: Vec<usize> = (0..missing.len()).filter(|n| missing[*n] == 0).collect();
        let mut next = 0;
        while let Some(&n) = sorted.get(next) {
            next += 1;
            for &dependent in &dependents[n] {
                let dependent = dependent as usize;
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
