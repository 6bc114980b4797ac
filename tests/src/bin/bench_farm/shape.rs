//! Derivations that nobody wrote, with paths that are right all the same: the scheduler computes them again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use drover_store::{Derivation, DrvPath, Modulo, Output, OutputName, StoreDir, StorePath};

use crate::graph::Graph;

/// Packages that nearly all others need, as compilers and shells are.
const HUBS: usize = 15;
/// The most further packages that one needs.
const MOST_NEEDS: u64 = 40;
/// What a derivation of a wide graph that needs others needs.
const WIDTH_OF_ROOT: usize = 500;

/// Derivations of Guix's shape: a half are downloads, which need nothing; each of the others needs its download, what
/// nearly all need, and some of those before it. `salt` makes all of it another graph of the same shape.
pub fn like_guix(derivations: usize, salt: u64) -> Graph {
    let (mut maker, mut dice) = (Maker::new(salt), Dice(salt));
    let mut packages: Vec<DrvPath> = Vec::new();
    for n in 0..derivations.div_ceil(2) {
        let download = maker.make(&format!("package-{n}-1.0.tar.xz"), []);
        if maker.drvs.len() == derivations {
            break;
        }
        let some = dice.roll(MOST_NEEDS).min(n as u64);
        let further: Vec<usize> = (0..some).map(|_| dice.roll(n as u64) as usize).collect();
        let needs = packages.iter().take(HUBS).chain(further.into_iter().map(|n| &packages[n]));
        packages.push(maker.make(&format!("package-{n}-1.0"), needs.chain([&download]).cloned().collect::<BTreeSet<_>>()));
    }
    Graph::of(maker.drvs)
}

/// Derivations that need nothing, and a few that need those, so that a submission can name them all.
pub fn wide(derivations: usize, salt: u64) -> Graph {
    let mut maker = Maker::new(salt);
    let leaves: Vec<DrvPath> = (0..derivations).map(|n| maker.make(&format!("wide-{n}"), [])).collect();
    for (n, leaves) in leaves.chunks(WIDTH_OF_ROOT).enumerate() {
        maker.make(&format!("root-{n}"), leaves.iter().cloned());
    }
    Graph::of(maker.drvs)
}

/// Makes derivations, each after those that it needs.
struct Maker {
    store: StoreDir,
    salt: u64,
    modulo: Modulo,
    drvs: BTreeMap<DrvPath, Bytes>,
}

impl Maker {
    fn new(salt: u64) -> Self {
        Self { store: StoreDir::guix(), salt, modulo: Modulo::new(), drvs: BTreeMap::new() }
    }

    fn make(&mut self, name: &str, needs: impl IntoIterator<Item = DrvPath>) -> DrvPath {
        let mut derivation = self.draft(name, needs);
        // The outputs' paths do not count in what they follow from.
        let draft = StorePath::from_parts(&[0; 20], &format!("{name}.drv")).expect("a name").try_into().expect("of a derivation");
        let out =
            self.modulo.add(&self.store, &draft, &derivation).expect("inputs that are known").outputs[&OutputName::OUT].clone();
        derivation.env.insert(b"out".to_vec(), self.store.path(&out).into_bytes());
        derivation.outputs.insert(OutputName::OUT, Output { path: out, fixed: None });
        let drv = derivation.path(&self.store, name).expect("a name");
        let modulo = self.modulo.add(&self.store, &drv, &derivation).expect("inputs that are known").modulo;
        self.modulo.insert(drv.clone(), modulo);
        self.drvs.insert(drv.clone(), derivation.write(&self.store).into());
        drv
    }

    fn draft(&self, name: &str, needs: impl IntoIterator<Item = DrvPath>) -> Derivation {
        let path = StorePath::from_parts(&[0; 20], name).expect("a name");
        let salt = format!("{}", self.salt).into_bytes();
        Derivation {
            outputs: BTreeMap::from([(OutputName::OUT, Output { path, fixed: None })]),
            input_drvs: needs.into_iter().map(|drv| (drv, BTreeSet::from([OutputName::OUT]))).collect(),
            input_srcs: BTreeSet::new(),
            system: "x86_64-linux".into(),
            builder: b"/bin/sh".to_vec(),
            args: Vec::new(),
            env: BTreeMap::from([(b"out".to_vec(), Vec::new()), (b"salt".to_vec(), salt)]),
        }
    }
}

/// The same numbers each time (SplitMix64).
struct Dice(u64);

impl Dice {
    /// One below `sides`; 0 of none.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }
}
