//! The derivations that a submission stands on, as far as planning needs them. They name each other, and the store items
//! they make and need, hundreds of thousands of times: so all of them are numbers here, and each name is kept once.

use std::collections::BTreeSet;

use drover_store::{ContentAddress, Derivation, DrvPath, OutputName, PackId, StorePath};
use hashbrown::HashMap;

/// The number of a derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrvNo(u32);

/// The number of a store item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathNo(u32);

/// Derivations, verified, and the names of those that they need.
#[derive(Debug, Default)]
pub struct Closure {
    drvs: Vec<(DrvPath, Option<Outline>)>,
    numbers: HashMap<DrvPath, DrvNo>,
    paths: Vec<StorePath>,
    path_numbers: HashMap<StorePath, PathNo>,
    wanted: Vec<Box<[OutputName]>>,
    wanted_numbers: HashMap<BTreeSet<OutputName>, u32>,
}

/// What planning needs of a derivation.
#[derive(Debug)]
pub struct Outline {
    /// The pack that holds it.
    pub pack: PackId,
    pub(crate) system: String,
    pub(crate) features: BTreeSet<String>,
    pub(crate) outputs: Box<[Made]>,
    pub(crate) sources: Box<[PathNo]>,
    inputs: Box<[Need]>,
}

/// One output.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) name: OutputName,
    pub(crate) path: PathNo,
    pub(crate) ca: Option<ContentAddress>,
}

/// An input: a derivation, and by number the names of the outputs that are wanted of it.
#[derive(Debug, Clone, Copy)]
struct Need {
    drv: DrvNo,
    wanted: u32,
}

impl DrvNo {
    /// Where it stands in a list of all of them.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl PathNo {
    /// Where it stands in a list of all of them.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Outline {
    /// The derivations that it needs, in order of their names.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = DrvNo> + DoubleEndedIterator {
        self.inputs.iter().map(|need| need.drv)
    }
}

impl Closure {
    /// Adds a derivation. What it needs gets numbers as well.
    pub fn add(&mut self, drv: &DrvPath, derivation: &Derivation, pack: PackId) -> DrvNo {
        let inputs = derivation.input_drvs.iter().map(|(input, names)| self.need(input, names)).collect();
        let outputs = derivation.outputs.iter().map(|(name, output)| {
            let ca = output.fixed.map(ContentAddress::Fixed);
            Made { name: name.clone(), path: self.path_number(&output.path), ca }
        });
        let outputs = outputs.collect();
        let sources = derivation.input_srcs.iter().map(|source| self.path_number(source)).collect();
        let features = derivation.required_system_features().into_iter().collect();
        let outline = Outline { pack, system: derivation.system.clone(), features, outputs, sources, inputs };
        let no = self.name(drv);
        self.drvs[no.index()].1 = Some(outline);
        no
    }

    /// The number of a derivation, which need not be known.
    pub fn name(&mut self, drv: &DrvPath) -> DrvNo {
        if let Some(no) = self.numbers.get(drv) {
            return *no;
        }
        let (no, drv) = (DrvNo(self.drvs.len() as u32), drv.apart());
        self.drvs.push((drv.clone(), None));
        self.numbers.insert(drv, no);
        no
    }

    /// There are but a few sets of names, and `out` alone is by far the most frequent.
    fn need(&mut self, input: &DrvPath, names: &BTreeSet<OutputName>) -> Need {
        let wanted = self.wanted_numbers.get(names).copied().unwrap_or_else(|| {
            let no = self.wanted.len() as u32;
            self.wanted.push(names.iter().cloned().collect());
            self.wanted_numbers.insert(names.clone(), no);
            no
        });
        Need { drv: self.name(input), wanted }
    }

    fn path_number(&mut self, path: &StorePath) -> PathNo {
        if let Some(no) = self.path_numbers.get(path) {
            return *no;
        }
        let (no, path) = (PathNo(self.paths.len() as u32), path.apart());
        self.paths.push(path.clone());
        self.path_numbers.insert(path, no);
        no
    }

    /// All derivations that have a number, in their order; a derivation without an outline is needed and not known.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (DrvNo, &DrvPath, Option<&Outline>)> {
        self.drvs.iter().enumerate().map(|(no, (drv, outline))| (DrvNo(no as u32), drv, outline.as_ref()))
    }

    /// The number of a derivation, if it was spoken of.
    pub fn number(&self, drv: &DrvPath) -> Option<DrvNo> {
        self.numbers.get(drv).copied()
    }

    /// The name of a derivation.
    pub fn drv(&self, no: DrvNo) -> &DrvPath {
        &self.drvs[no.index()].0
    }

    /// The derivation, if it is known.
    pub fn get(&self, no: DrvNo) -> Option<&Outline> {
        self.drvs[no.index()].1.as_ref()
    }

    /// The same, to note that it lies in another pack.
    pub fn get_mut(&mut self, no: DrvNo) -> Option<&mut Outline> {
        self.drvs[no.index()].1.as_mut()
    }

    /// Every output and every source, by number.
    pub fn paths(&self) -> &[StorePath] {
        &self.paths
    }

    /// The paths of its outputs.
    pub fn outputs(&self, outline: &Outline) -> impl Iterator<Item = &StorePath> {
        outline.outputs.iter().map(|made| &self.paths[made.path.index()])
    }

    /// The outputs that it wants of its inputs, or the names of those that are not there.
    pub fn wanted<'a>(&'a self, outline: &'a Outline) -> impl Iterator<Item = (DrvNo, Result<PathNo, &'a OutputName>)> {
        outline.inputs.iter().flat_map(|need| {
            let made = self.get(need.drv).map_or(&[][..], |outline| &outline.outputs);
            let find = move |name: &'a OutputName| made.iter().find(|made| made.name == *name).map(|made| made.path).ok_or(name);
            self.wanted[need.wanted as usize].iter().map(move |name| (need.drv, find(name)))
        })
    }

    /// Each derivation that is known, after those that it needs. Keeps its own stack: closures are thousands deep.
    pub fn bottom_up(&self) -> Vec<DrvNo> {
        let mut order = Vec::with_capacity(self.drvs.len());
        let mut seen = vec![false; self.drvs.len()];
        let mut stack: Vec<(DrvNo, bool)> = self.iter().map(|(no, ..)| (no, false)).collect();
        while let Some((no, left)) = stack.pop() {
            let Some(outline) = self.get(no) else { continue };
            if left {
                order.push(no);
            } else if !std::mem::replace(&mut seen[no.index()], true) {
                stack.push((no, true));
                stack.extend(outline.inputs().filter(|input| !seen[input.index()]).map(|input| (input, false)));
            }
        }
        order
    }
}
