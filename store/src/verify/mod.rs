//! Whether derivations are what their names say: every `.drv` name and every output path is a hash of its content, so all of
//! them can be computed again, and a liar is found.
//!
//! Any number of derivations at once, in any order, of any depth: there is no recursion. Inputs that are not among them are
//! asked for, since a submission builds on what is known already.

mod graph;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use bytes::Bytes;

pub use graph::Verifier;

use crate::aterm::Frame;
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
pub struct Named {
    derivation: Derivation,
    frame: Frame,
}

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
        let frame = Frame::of(&derivation, store);
        Ok(Self { derivation, frame })
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
        &self.derivation
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
    let mut verifier = Verifier::new(store.clone());
    let mut derivations: BTreeMap<DrvPath, Derivation> = BTreeMap::new();
    for (path, named) in named {
        derivations.insert(path.clone(), verifier.add(&path, named));
    }
    let (right, faults) = verifier.finish(known);
    let verified = |(path, modulo)| {
        let (path, derivation) = derivations.remove_entry(&path)?;
        Some((path, Verified { derivation, modulo }))
    };
    (right.into_iter().filter_map(verified).collect(), faults)
}

impl From<ModuloError> for Fault {
    fn from(error: ModuloError) -> Self {
        match error {
            ModuloError::MissingInput(input) => Self::MissingInput(input),
            ModuloError::ImpossibleName(e) => Self::ImpossibleName(e),
        }
    }
}
