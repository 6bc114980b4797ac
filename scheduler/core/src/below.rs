//! The sources somewhere below a derivation that cannot be fetched yet. Mostly there are none: what is available was built
//! somewhere, and its sources came along.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use drover_store::{DrvPath, StorePath};

use crate::plan::Known;

/// What was found so far.
pub(crate) struct Below<'a> {
    known: &'a Known<'a>,
    found: BTreeMap<&'a DrvPath, Rc<BTreeSet<StorePath>>>,
}

impl<'a> Below<'a> {
    pub(crate) fn new(known: &'a Known<'a>) -> Self {
        Self { known, found: BTreeMap::new() }
    }

    /// The sources of this derivation and of all that it stands on that cannot be fetched.
    pub(crate) fn sources(&mut self, drv: &'a DrvPath) -> Rc<BTreeSet<StorePath>> {
        // It keeps its own stack: closures are thousands deep.
        let mut stack = vec![(drv, false)];
        while let Some((drv, left)) = stack.pop() {
            if self.found.contains_key(drv) {
                continue;
            }
            let Some((derivation, _)) = self.known.derivations.get(drv) else { continue };
            if left {
                let found = self.gather(&derivation.input_srcs, derivation.input_drvs.keys());
                self.found.insert(drv, found);
            } else {
                stack.push((drv, true));
                stack.extend(derivation.input_drvs.keys().map(|input| (input, false)));
            }
        }
        self.found.get(drv).cloned().unwrap_or_default()
    }

    fn gather(&self, own: &BTreeSet<StorePath>, inputs: impl Iterator<Item = &'a DrvPath>) -> Rc<BTreeSet<StorePath>> {
        let own: BTreeSet<StorePath> = own.iter().filter(|path| !(self.known.available)(path)).cloned().collect();
        let mut parts = inputs.filter_map(|input| self.found.get(input)).filter(|found| !found.is_empty());
        match (own.is_empty(), parts.next(), parts.next()) {
            (true, Some(only), None) => only.clone(),
            (_, first, second) => {
                let below = first.into_iter().chain(second).chain(parts).flat_map(|found| found.iter()).cloned();
                Rc::new(below.chain(own).collect())
            }
        }
    }
}
