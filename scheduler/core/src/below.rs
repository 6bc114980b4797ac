//! The sources somewhere below a derivation that cannot be fetched yet. Mostly there are none: what is available was built
//! somewhere, and its sources came along.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::closure::{Closure, DrvNo, Outline, PathNo};

/// What was found so far, by the numbers of derivations.
pub(crate) struct Below<'a> {
    closure: &'a Closure,
    found: Vec<Option<Rc<BTreeSet<PathNo>>>>,
}

impl<'a> Below<'a> {
    pub(crate) fn new(closure: &'a Closure) -> Self {
        Self { closure, found: vec![None; closure.iter().len()] }
    }

    /// The sources of this derivation and of all that it stands on that cannot be fetched. `available` says by its number
    /// whether an item can be, always the same.
    pub(crate) fn sources(&mut self, drv: DrvNo, available: &[bool]) -> Rc<BTreeSet<PathNo>> {
        // It keeps its own stack: closures are thousands deep.
        let mut stack = vec![(drv, false)];
        while let Some((drv, left)) = stack.pop() {
            if self.found[drv.index()].is_some() {
                continue;
            }
            let Some(outline) = self.closure.get(drv) else { continue };
            if left {
                self.found[drv.index()] = Some(self.gather(outline, available));
            } else {
                stack.push((drv, true));
                stack.extend(outline.inputs().map(|input| (input, false)));
            }
        }
        self.found[drv.index()].clone().unwrap_or_default()
    }

    fn gather(&self, outline: &Outline, available: &[bool]) -> Rc<BTreeSet<PathNo>> {
        let own: Vec<PathNo> = outline.sources.iter().copied().filter(|path| !available[path.index()]).collect();
        let parts = outline.inputs().filter_map(|input| self.found[input.index()].as_ref());
        let mut parts = parts.filter(|found| !found.is_empty());
        match (own.is_empty(), parts.next(), parts.next()) {
            (true, Some(only), None) => only.clone(),
            (_, first, second) => {
                let below = first.into_iter().chain(second).chain(parts).flat_map(|found| found.iter()).copied();
                Rc::new(below.chain(own).collect())
            }
        }
    }
}
