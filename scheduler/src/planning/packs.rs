//! In which packs the closure of each derivation lies: its own pack, and those of everything it stands on.

use std::collections::{BTreeSet, HashMap};

use drover_scheduler_core::closure::{Closure, DrvNo};
use drover_scheduler_core::{PackSet, PackSetId};
use drover_store::PackId;

/// Packs by their numbers, one bit each.
type Bits = Vec<u64>;

/// The sets of packs of a whole closure. Most derivations share one with others.
pub(super) struct Packing {
    sets: Vec<(PackSet, PackSetId)>,
    /// Which set is each derivation's; none is one's that is not known.
    of: Vec<Option<usize>>,
}

impl Packing {
    /// The most packs that one derivation's closure lies in.
    pub(super) fn largest(&self) -> usize {
        self.sets.iter().map(|(set, _)| set.iter().len()).max().unwrap_or(0)
    }

    /// The set of one of the derivations.
    pub(super) fn of(&self, drv: DrvNo) -> PackSetId {
        self.of[drv.index()].map_or_else(PackSetId::default, |set| self.sets[set].1)
    }

    /// Those of the sets that are named.
    pub(super) fn into_sets(self, named: &BTreeSet<PackSetId>) -> Vec<PackSet> {
        self.sets.into_iter().filter(|(_, id)| named.contains(id)).map(|(set, _)| set).collect()
    }
}

/// Finds the sets of these derivations, from the bottom up.
pub(super) fn packing(closure: &Closure) -> Packing {
    let packs: BTreeSet<PackId> = closure.iter().filter_map(|(.., outline)| outline).map(|outline| outline.pack).collect();
    let number: HashMap<PackId, usize> = packs.iter().zip(0..).map(|(pack, n)| (*pack, n)).collect();
    let mut sets: Vec<Bits> = Vec::new();
    let mut names: HashMap<Bits, usize> = HashMap::new();
    let mut of: Vec<Option<usize>> = vec![None; closure.iter().len()];
    for drv in closure.bottom_up() {
        let Some(outline) = closure.get(drv) else { continue };
        let mut bits = vec![0; packs.len().div_ceil(64)];
        bits[number[&outline.pack] / 64] |= 1 << (number[&outline.pack] % 64);
        for set in outline.inputs().filter_map(|input| of[input.index()]) {
            bits.iter_mut().zip(&sets[set]).for_each(|(ours, theirs)| *ours |= theirs);
        }
        let set = *names.entry(bits).or_insert_with_key(|bits| {
            sets.push(bits.clone());
            sets.len() - 1
        });
        of[drv.index()] = Some(set);
    }
    let named = sets.iter().map(|bits| {
        let has = |n: &usize| bits[n / 64] >> (n % 64) & 1 == 1;
        let set: PackSet = packs.iter().zip(0..).filter(|(_, n)| has(n)).map(|(pack, _)| *pack).collect();
        let id = set.id();
        (set, id)
    });
    Packing { sets: named.collect(), of }
}

#[cfg(test)]
mod tests {
    use super::super::samples::derivation;
    use super::*;

    /// Adds derivation `n`, in its own pack, which needs these.
    fn add(closure: &mut Closure, n: usize, needs: &[u8]) -> DrvNo {
        let (drv, derivation) = derivation(n as u8, needs);
        closure.add(&drv, &derivation, pack(n))
    }

    fn pack(n: usize) -> PackId {
        PackId::of(&[n as u8])
    }

    fn set(packs: &[usize]) -> PackSetId {
        packs.iter().map(|n| pack(*n)).collect::<PackSet>().id()
    }

    #[test]
    fn a_closure_lies_in_its_own_pack_and_in_those_of_all_that_it_stands_on() {
        let mut closure = Closure::default();
        let needs: [&[u8]; 4] = [&[1, 2], &[3], &[3], &[]];
        let drvs: Vec<DrvNo> = needs.iter().enumerate().map(|(n, needs)| add(&mut closure, n, needs)).collect();
        let packing = packing(&closure);
        assert_eq!(packing.largest(), 4);
        assert_eq!(packing.of(drvs[0]), set(&[0, 1, 2, 3]));
        assert_eq!(packing.of(drvs[1]), set(&[1, 3]));
        assert_eq!(packing.of(drvs[3]), set(&[3]));
        assert_eq!(packing.into_sets(&BTreeSet::from([set(&[1, 3])])), [[1, 3].map(pack).into_iter().collect()]);
    }
}
