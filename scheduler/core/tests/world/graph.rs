//! What is to be built: layers of derivations that each need some of the layer before.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::request::Mode;
use drover_messages::{BuildId, SubmissionId};
use drover_scheduler_core::build::{Product, Recipe};
use drover_scheduler_core::plan::Planned;
use drover_store::{DrvPath, OutputName, PackId, Sha256, StoreDir, StorePath};

use super::{Dice, id};

pub struct Graph {
    pub recipes: Vec<Recipe>,
    /// Those whose builder always fails.
    pub broken: BTreeSet<DrvPath>,
}

pub fn path(name: &str) -> StorePath {
    let digest = Sha256::of(name.as_bytes());
    let mut hash = [0; 20];
    hash.copy_from_slice(&digest.as_bytes()[..20]);
    StorePath::from_parts(&hash, name).expect("a plain name")
}

/// The server that has what nobody here builds.
pub const SERVER: &str = "https://elsewhere.example";

/// What it has.
pub fn external() -> StorePath {
    path("external")
}

impl Graph {
    pub fn layers(dice: &mut Dice, layers: usize, width: usize, broken_percent: u64) -> Self {
        let mut graph = Self { recipes: Vec::new(), broken: BTreeSet::new() };
        let mut below: Vec<StorePath> = Vec::new();
        for layer in 0..layers {
            let mut outputs = Vec::new();
            for n in 0..width {
                let name = format!("w-{layer}-{n}");
                let inputs: BTreeSet<StorePath> = (0..2).filter_map(|_| below.get(dice.below(below.len())).cloned()).collect();
                let mut inputs = inputs;
                if layer == 0 && n % 2 == 0 {
                    inputs.insert(external());
                }
                let recipe = recipe(&name, inputs);
                outputs.extend(recipe.outputs.values().map(|product| product.path.clone()));
                if dice.chance(broken_percent) {
                    graph.broken.insert(recipe.drv.clone());
                }
                graph.recipes.push(recipe);
            }
            below = outputs;
        }
        graph
    }

    /// Builds of all of them, and a check of every fourth.
    pub fn planned(&self) -> Vec<Planned> {
        let build = |recipe: &Recipe| Planned {
            id: build_of(&recipe.drv),
            root: true,
            recipe: recipe.clone(),
            mode: Mode::Build,
            known_failure: None,
            avoid: BTreeSet::new(),
        };
        let check = |recipe: &Recipe| {
            let mut recipe = recipe.clone();
            recipe.inputs.extend(recipe.outputs.values().map(|product| product.path.clone()));
            Planned {
                id: check_of(&recipe.drv),
                root: true,
                recipe,
                mode: Mode::Check,
                known_failure: None,
                avoid: BTreeSet::new(),
            }
        };
        let checks = self.recipes.iter().step_by(4).map(check);
        self.recipes.iter().map(build).chain(checks).collect()
    }

    /// What stands behind a broken derivation.
    pub fn doomed(&self) -> BTreeSet<DrvPath> {
        let maker: BTreeMap<&StorePath, &Recipe> =
            self.recipes.iter().flat_map(|recipe| recipe.outputs.values().map(move |p| (&p.path, recipe))).collect();
        let mut doomed = BTreeSet::new();
        for recipe in &self.recipes {
            let behind =
                |path| maker.get(path).is_some_and(|r: &&Recipe| self.broken.contains(&r.drv) || doomed.contains(&r.drv));
            if recipe.inputs.iter().any(behind) {
                doomed.insert(recipe.drv.clone());
            }
        }
        doomed
    }
}

/// Of a check.
pub fn check_of(drv: &DrvPath) -> BuildId {
    BuildId::before_check(SubmissionId::from_uuid(id(1)), drv)
}

pub fn build_of(drv: &DrvPath) -> BuildId {
    BuildId::derived(SubmissionId::from_uuid(id(1)), drv)
}

fn recipe(name: &str, inputs: BTreeSet<StorePath>) -> Recipe {
    let out: OutputName = "out".parse().expect("an output's name");
    Recipe {
        drv: path(&format!("{name}.drv")).try_into().expect("a derivation's name"),
        pack: PackId::of(b"pack"),
        store_dir: StoreDir::nix(),
        system: "x86_64-linux".into(),
        features: BTreeSet::new(),
        outputs: BTreeMap::from([(out, Product { path: path(name), ca: None })]),
        inputs,
    }
}
