//! What is to be built: layers of derivations that each need some of the layer before, and what users want of it.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::request::{Mode, Nar, SourceNar};
use drover_messages::{BuildId, SubmissionId};
use drover_scheduler_core::plan::Planned;
use drover_scheduler_core::{LARGE_NAR_BYTES, Paths, Product, Recipe};
use drover_store::{ContentAddress, DrvPath, OutputName, PackId, Sha256, StoreDir, StorePath};

use super::{Dice, id};

#[derive(Clone)]
pub struct Graph {
    pub derivations: Vec<Derivation>,
    /// Those whose builder always fails.
    pub broken: BTreeSet<DrvPath>,
}

/// What is built, and what it needs.
#[derive(Clone)]
pub struct Derivation {
    pub recipe: Recipe,
    pub inputs: Paths,
}

pub fn path(name: &str) -> StorePath {
    let digest = Sha256::of(name.as_bytes());
    let mut hash = [0; 20];
    hash.copy_from_slice(&digest.as_bytes()[..20]);
    StorePath::from_parts(&hash, name).expect("a plain name")
}

/// The server that has what nobody here builds.
pub const SERVER: &str = "https://elsewhere.example";

/// What each machine shares among its builds.
pub const MEM: u64 = 32;

/// What the server has.
pub fn external() -> StorePath {
    path("external")
}

/// What the user brings.
pub fn source() -> StorePath {
    path("source")
}

pub fn submission(n: u64) -> SubmissionId {
    SubmissionId::from_uuid(id(n))
}

impl Graph {
    pub fn layers(dice: &mut Dice, layers: usize, width: usize, broken_percent: u64) -> Self {
        let mut graph = Self { derivations: Vec::new(), broken: BTreeSet::new() };
        let mut below: Vec<StorePath> = Vec::new();
        for layer in 0..layers {
            let mut outputs = Vec::new();
            for n in 0..width {
                let name = format!("w-{layer}-{n}");
                let mut inputs: BTreeSet<StorePath> =
                    (0..2).filter_map(|_| below.get(dice.below(below.len())).cloned()).collect();
                if layer == 0 {
                    inputs.insert(if n % 2 == 0 { external() } else { source() });
                }
                let recipe = Recipe { features: takes(n), ..recipe(&name) };
                outputs.extend(recipe.outputs.values().map(|product| product.path.clone()));
                if dice.chance(broken_percent) {
                    graph.broken.insert(recipe.drv.clone());
                }
                graph.derivations.push(Derivation { recipe, inputs: inputs.into_iter().collect() });
            }
            below = outputs;
        }
        graph
    }

    /// What the first user wants: builds of all, and a check of every fourth.
    pub fn everything(&self) -> Vec<Planned> {
        let checks = self.derivations.iter().step_by(4).map(|derivation| Planned {
            inputs: derivation.inputs.iter().chain(derivation.products()).cloned().collect(),
            mode: Mode::Check,
            ..planned(check_of(derivation.drv()), derivation, true)
        });
        let builds = self.derivations.iter().map(|derivation| planned(build_of(1, derivation.drv()), derivation, true));
        builds.chain(checks).collect()
    }

    /// What stands above a build's inputs that are not there: what one needs comes before it.
    pub fn below(&self, n: u64, inputs: &Paths, is_there: &dyn Fn(&StorePath) -> bool) -> Vec<Planned> {
        let mut wanted: BTreeSet<&StorePath> = inputs.iter().filter(|path| !is_there(path)).collect();
        let mut plan = Vec::new();
        for derivation in self.derivations.iter().rev() {
            if derivation.products().any(|path| wanted.contains(path)) {
                wanted.extend(derivation.inputs.iter().filter(|path| !is_there(path)));
                plan.push(planned(build_of(n, derivation.drv()), derivation, false));
            }
        }
        plan.reverse();
        plan
    }

    /// What another user wants: the last few, and whatever these need and is not there.
    pub fn last(&self, n: u64, how_many: usize, is_there: &dyn Fn(&StorePath) -> bool) -> Vec<Planned> {
        let roots = &self.derivations[self.derivations.len().saturating_sub(how_many)..];
        let inputs = roots.iter().flat_map(|root| &root.inputs).cloned().collect();
        let mut plan = self.below(n, &inputs, is_there);
        plan.retain(|planned| roots.iter().all(|root| *root.drv() != planned.recipe.drv));
        plan.extend(roots.iter().map(|root| planned(build_of(n, root.drv()), root, true)));
        plan
    }

    /// What comes of each derivation in the end.
    pub fn end_of(&self, drv: &DrvPath) -> &'static str {
        match () {
            () if self.doomed().contains(drv) => "blocked",
            () if self.broken.contains(drv) => "failed",
            () => "succeeded",
        }
    }

    /// What stands behind a broken derivation.
    fn doomed(&self) -> BTreeSet<DrvPath> {
        let makers = self.derivations.iter().flat_map(|maker| maker.products().map(move |path| (path, maker.drv())));
        let makers: BTreeMap<&StorePath, &DrvPath> = makers.collect();
        let mut doomed = BTreeSet::new();
        for derivation in &self.derivations {
            let behind = |path| makers.get(path).is_some_and(|drv| self.broken.contains(*drv) || doomed.contains(*drv));
            if derivation.inputs.iter().any(behind) {
                doomed.insert(derivation.drv().clone());
            }
        }
        doomed
    }

    /// All that is built.
    pub fn products(&self) -> BTreeSet<StorePath> {
        self.derivations.iter().flat_map(Derivation::products).cloned().collect()
    }
}

impl Derivation {
    pub fn drv(&self) -> &DrvPath {
        &self.recipe.drv
    }

    fn products(&self) -> impl Iterator<Item = &StorePath> {
        self.recipe.outputs.values().map(|product| &product.path)
    }
}

fn planned(id: BuildId, Derivation { recipe, inputs }: &Derivation, root: bool) -> Planned {
    let (recipe, inputs) = (recipe.clone(), inputs.clone());
    Planned { id, root, recipe, inputs, mode: Mode::Build, seq: None, known_failure: None, avoid: BTreeSet::new() }
}

/// Of a check.
pub fn check_of(drv: &DrvPath) -> BuildId {
    BuildId::before_check(submission(1), drv)
}

pub fn build_of(n: u64, drv: &DrvPath) -> BuildId {
    BuildId::derived(submission(n), drv)
}

/// Half of what there is is large.
pub fn nar_of(path: &StorePath) -> Nar {
    let hash = Sha256::of(b"nar");
    let file_size = if path.hash_part().as_bytes()[0].is_multiple_of(2) { LARGE_NAR_BYTES + 1 } else { 1 };
    Nar { key: "incoming/x".into(), nar_hash: hash, nar_size: 1, file_hash: hash, file_size }
}

/// The source, as a user brings it.
pub fn brought() -> SourceNar {
    let ca = ContentAddress::source(Sha256::of(b"source"));
    SourceNar { path: source(), ca, references: Vec::new(), nar: nar_of(&source()) }
}

/// Of what a machine shares, some builds take a part, and some all of it.
fn takes(n: usize) -> BTreeSet<String> {
    match n % 4 {
        0 => [format!("mem:{MEM}")].into(),
        1 => [format!("mem:{}", MEM / 2)].into(),
        _ => BTreeSet::new(),
    }
}

fn recipe(name: &str) -> Recipe {
    let out: OutputName = "out".parse().expect("an output's name");
    Recipe {
        drv: path(&format!("{name}.drv")).try_into().expect("a derivation's name"),
        pack: PackId::of(b"pack"),
        store_dir: StoreDir::nix(),
        system: "x86_64-linux".into(),
        features: BTreeSet::new(),
        outputs: [(out, Product { path: path(name), ca: None })].into_iter().collect(),
    }
}
