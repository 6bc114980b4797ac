//! Whether derivations are what their names say: every `.drv` name and every output path is a hash of its content, so all of
//! them can be computed again, and a liar is found.
//!
//! Any number of derivations at once, in any order, of any depth: there is no recursion. Inputs that are not among them are
//! asked for, since a submission builds on what is known already.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use bytes::Bytes;

use crate::modulo::hashes_of;
use crate::{Derivation, DrvParseError, DrvPath, ModuloError, OutputName, ParseError, Sha256, StoreDir, StorePath};

/// For how many derivations a thread is worth its start.
const DRVS_PER_THREAD: usize = 200;

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

    /// Reads all of these, on as many threads as there are processors; the ones that can be read, and the faults of the others,
    /// in order of names.
    pub fn read_all(store: &StoreDir, drvs: &BTreeMap<DrvPath, Bytes>) -> (BTreeMap<DrvPath, Self>, Vec<VerifyError>) {
        let all: Vec<(&DrvPath, &Bytes)> = drvs.iter().collect();
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(all.len() / DRVS_PER_THREAD + 1);
        let read = |(path, aterm): &(&DrvPath, &Bytes)| Self::read(store, path, aterm).map(|named| ((*path).clone(), named));
        let share = all.len().div_ceil(threads).max(1);
        let results: Vec<Vec<Result<_, _>>> = thread::scope(|scope| {
            let parts: Vec<_> = all.chunks(share).map(|part| scope.spawn(move || part.iter().map(read).collect())).collect();
            parts.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        let (mut named, mut faults) = (Vec::with_capacity(all.len()), Vec::new());
        for result in results.into_iter().flatten() {
            match result {
                Ok(one) => named.push(one),
                Err(fault) => faults.push(fault),
            }
        }
        (BTreeMap::from_iter(named), faults)
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
    let (named, faults) = Named::read_all(store, drvs);
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault);
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
    /// For each derivation the numbers of its inputs, in their order; none for those that are not among them.
    inputs: Vec<Vec<Option<usize>>>,
}

impl<'s> Graph<'s> {
    fn new(store: &'s StoreDir, named: BTreeMap<DrvPath, Named>) -> Self {
        let (paths, drvs): (Vec<DrvPath>, Vec<Derivation>) = named.into_iter().map(|(path, named)| (path, named.0)).unzip();
        let numbers: HashMap<&DrvPath, usize> = paths.iter().zip(0..).collect();
        let inputs = drvs.iter().map(|drv| drv.input_drvs.keys().map(|input| numbers.get(input).copied()).collect()).collect();
        Self { store, paths, drvs, inputs }
    }

    fn verify(self, known: impl Fn(&DrvPath) -> Option<Sha256>) -> (BTreeMap<DrvPath, Verified>, Vec<VerifyError>) {
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

impl From<ModuloError> for Fault {
    fn from(error: ModuloError) -> Self {
        match error {
            ModuloError::MissingInput(input) => Self::MissingInput(input),
            ModuloError::ImpossibleName(e) => Self::ImpossibleName(e),
        }
    }
}
