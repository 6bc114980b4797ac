//! In which packs the closure of each derivation lies: its own pack, and those of everything it stands on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use drover_bucket::{Bucket, Key};
use drover_scheduler_core::{PackSet, PackSetId};
use drover_store::{Derivation, DrvPath, PackId, PackWriter, StoreDir};

use super::NotNow;

/// Derivations, each with the pack that holds it.
type Derivations = BTreeMap<DrvPath, (Derivation, PackId)>;

/// Packs by their numbers, one bit each.
type Bits = Vec<u64>;

/// The sets of packs of a whole closure. Most derivations share one with others.
pub(super) struct Packing<'a> {
    sets: Vec<(PackSet, PackSetId)>,
    of: HashMap<&'a DrvPath, usize>,
}

impl Packing<'_> {
    /// The most packs that one derivation's closure lies in.
    pub(super) fn largest(&self) -> usize {
        self.sets.iter().map(|(set, _)| set.iter().len()).max().unwrap_or(0)
    }

    /// The set of one of the derivations.
    pub(super) fn of(&self, drv: &DrvPath) -> PackSetId {
        self.of.get(drv).map_or_else(PackSetId::default, |set| self.sets[*set].1)
    }

    /// Those of the sets that are named.
    pub(super) fn into_sets(self, named: &BTreeSet<PackSetId>) -> Vec<PackSet> {
        self.sets.into_iter().filter(|(_, id)| named.contains(id)).map(|(set, _)| set).collect()
    }
}

/// Finds the sets of these derivations, from the bottom up.
pub(super) fn packing(derivations: &Derivations) -> Packing<'_> {
    let mut packs: Vec<PackId> = derivations.values().map(|(_, pack)| *pack).collect();
    packs.sort();
    packs.dedup();
    let number: HashMap<PackId, usize> = packs.iter().enumerate().map(|(n, pack)| (*pack, n)).collect();
    let mut sets: Vec<Bits> = Vec::new();
    let mut names: HashMap<Bits, usize> = HashMap::new();
    let mut of: HashMap<&DrvPath, usize> = HashMap::new();
    for drv in bottom_up(derivations) {
        let (derivation, pack) = &derivations[drv];
        let mut bits = vec![0; packs.len().div_ceil(64)];
        bits[number[pack] / 64] |= 1 << (number[pack] % 64);
        for set in derivation.input_drvs.keys().filter_map(|input| of.get(input)) {
            bits.iter_mut().zip(&sets[*set]).for_each(|(ours, theirs)| *ours |= theirs);
        }
        let set = *names.entry(bits.clone()).or_insert_with(|| {
            sets.push(bits);
            sets.len() - 1
        });
        of.insert(drv, set);
    }
    let named = sets.iter().map(|bits| {
        let has = |n: &usize| bits[n / 64] >> (n % 64) & 1 == 1;
        let set: PackSet = (0..packs.len()).filter(has).map(|n| packs[n]).collect();
        let id = set.id();
        (set, id)
    });
    Packing { sets: named.collect(), of }
}

/// Each derivation after those that it needs. Keeps its own stack: closures are thousands deep.
fn bottom_up(derivations: &Derivations) -> Vec<&DrvPath> {
    let mut order = Vec::with_capacity(derivations.len());
    let mut seen = HashSet::with_capacity(derivations.len());
    let mut stack: Vec<(&DrvPath, bool)> = derivations.keys().map(|drv| (drv, false)).collect();
    while let Some((drv, left)) = stack.pop() {
        if left {
            order.push(drv);
        } else if seen.insert(drv)
            && let Some((derivation, _)) = derivations.get(drv)
        {
            stack.push((drv, true));
            let inputs = derivation.input_drvs.keys().filter(|input| derivations.contains_key(*input) && !seen.contains(*input));
            stack.extend(inputs.map(|input| (input, false)));
        }
    }
    order
}

/// Packs all of a closure anew, into as few packs as it fills.
pub(super) async fn repack(bucket: &Bucket, store_dir: &StoreDir, derivations: &mut Derivations) -> Result<(), NotNow> {
    let mut left: Vec<DrvPath> = derivations.keys().rev().cloned().collect();
    while !left.is_empty() {
        let mut writer = PackWriter::new();
        let mut written = Vec::new();
        while !writer.is_full()
            && let Some(drv) = left.pop()
        {
            let trouble = |error| NotNow::Trouble(format!("{drv} cannot be packed anew: {error}"));
            writer.push(&drv, derivations[&drv].0.write(store_dir)).map_err(trouble)?;
            written.push(drv);
        }
        let bytes = writer.finish().map_err(|error| NotNow::Trouble(format!("derivations cannot be packed anew: {error}")))?;
        let id = PackId::of(&bytes);
        bucket.put_once(&Key::Pack(id), bytes).await.map_err(|error| NotNow::of_bucket("a new pack", &error))?;
        for drv in written {
            if let Some((_, pack)) = derivations.get_mut(&drv) {
                *pack = id;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use drover_store::{Output, OutputName, StorePath};

    use super::*;

    fn drv(n: usize) -> DrvPath {
        StorePath::from_parts(&[n as u8; 20], &format!("{n}.drv")).unwrap().try_into().unwrap()
    }

    /// Derivation `n`, in its own pack, needs these.
    fn derivation(n: usize, needs: &[usize]) -> (DrvPath, (Derivation, PackId)) {
        let path = StorePath::from_parts(&[n as u8; 20], &n.to_string()).unwrap();
        let derivation = Derivation {
            outputs: BTreeMap::from([(OutputName::OUT, Output { path, fixed: None })]),
            input_drvs: needs.iter().map(|needed| (drv(*needed), BTreeSet::from([OutputName::OUT]))).collect(),
            input_srcs: BTreeSet::new(),
            system: "x86_64-linux".into(),
            builder: b"/bin/sh".to_vec(),
            args: Vec::new(),
            env: BTreeMap::new(),
        };
        (drv(n), (derivation, pack(n)))
    }

    fn pack(n: usize) -> PackId {
        PackId::of(&[n as u8])
    }

    fn set(packs: &[usize]) -> PackSetId {
        packs.iter().map(|n| pack(*n)).collect::<PackSet>().id()
    }

    #[test]
    fn a_closure_lies_in_its_own_pack_and_in_those_of_all_that_it_stands_on() {
        let derivations =
            Derivations::from([derivation(0, &[1, 2]), derivation(1, &[3]), derivation(2, &[3]), derivation(3, &[])]);
        let packing = packing(&derivations);
        assert_eq!(packing.largest(), 4);
        assert_eq!(packing.of(&drv(0)), set(&[0, 1, 2, 3]));
        assert_eq!(packing.of(&drv(1)), set(&[1, 3]));
        assert_eq!(packing.of(&drv(3)), set(&[3]));
        assert_eq!(packing.into_sets(&BTreeSet::from([set(&[1, 3])])), [[1, 3].map(pack).into_iter().collect()]);
    }

    #[tokio::test]
    async fn what_lies_in_many_packs_fits_into_one() {
        let bucket = Bucket::open("memory://").unwrap();
        let mut derivations = Derivations::from([derivation(0, &[1]), derivation(1, &[2]), derivation(2, &[])]);
        repack(&bucket, &StoreDir::nix(), &mut derivations).await.unwrap();
        assert_eq!(packing(&derivations).largest(), 1);
        let one = derivations[&drv(0)].1;
        let bytes = bucket.get(&Key::Pack(one), 1 << 20).await.unwrap();
        let pack = drover_store::Pack::open(bytes).unwrap();
        assert_eq!(pack.get(&drv(2)).unwrap(), derivations[&drv(2)].0.write(&StoreDir::nix()));
    }
}
