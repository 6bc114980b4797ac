//! Which builds a submission needs: its closure is walked from the roots down and stops where outputs are available.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::request::Root;
use drover_messages::{BuildId, SubmissionId};
use drover_store::PackId;
use drover_store::{ContentAddress, Derivation, DrvPath, StoreDir, StorePath};

use crate::build::{Product, Recipe};

/// A build that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its id.
    pub id: BuildId,
    /// Whether the user named it.
    pub root: bool,
    /// What is built.
    pub recipe: Recipe,
}

/// What a submission needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Its builds; what one needs comes before it.
    pub builds: Vec<Planned>,
    /// Sources of those builds.
    pub sources: BTreeSet<StorePath>,
}

/// Why a closure cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unplannable {
    /// A derivation of the closure came neither now nor before.
    #[error("{needed_by} needs {drv}, which came neither with the submission nor before it")]
    Absent {
        /// The missing one.
        drv: DrvPath,
        /// Who needs it; itself, if the user named it.
        needed_by: DrvPath,
    },
    /// A derivation wants an output that the other does not have.
    #[error("{drv} wants the output {output} of {input}, which has none of that name")]
    NoSuchOutput {
        /// Who wants it.
        drv: DrvPath,
        /// Of which derivation.
        input: DrvPath,
        /// Which output.
        output: String,
    },
}

/// What the walk looks things up in.
pub struct Known<'a> {
    /// The store directory of everything.
    pub store_dir: &'a StoreDir,
    /// The whole closure, verified, each derivation with the pack that holds it.
    pub derivations: &'a BTreeMap<DrvPath, (Derivation, PackId)>,
    /// Whether everybody can fetch an item.
    pub available: &'a dyn Fn(&StorePath) -> bool,
}

/// Plans a submission. Without `input_builds`, only the roots themselves.
pub fn plan(submission: SubmissionId, roots: &[Root], input_builds: bool, known: &Known<'_>) -> Result<Plan, Unplannable> {
    let named: BTreeMap<&DrvPath, BuildId> = roots.iter().map(|root| (&root.drv, root.build)).collect();
    let mut plan = Plan::default();
    let mut seen: BTreeSet<&DrvPath> = BTreeSet::new();
    let mut stack: Vec<Visit<'_>> = roots.iter().rev().map(|root| Visit::Enter { drv: &root.drv, for_: &root.drv }).collect();
    while let Some(visit) = stack.pop() {
        match visit {
            Visit::Enter { drv, for_ } => {
                if !seen.insert(drv) {
                    continue;
                }
                let (derivation, _) = known.get(drv, for_)?;
                stack.push(Visit::Leave(drv));
                if input_builds {
                    stack.extend(known.missing_inputs(drv, derivation)?.map(|input| Visit::Enter { drv: input, for_: drv }));
                }
            }
            Visit::Leave(drv) => {
                let recipe = known.recipe(drv)?;
                let (derivation, _) = known.get(drv, drv)?;
                plan.sources.extend(derivation.input_srcs.iter().cloned());
                let id = named.get(drv).copied();
                let root = id.is_some();
                plan.builds.push(Planned { id: id.unwrap_or_else(|| BuildId::derived(submission, drv)), root, recipe });
            }
        }
    }
    Ok(plan)
}

/// A step of the walk, which keeps its own stack: closures are thousands deep.
enum Visit<'a> {
    Enter { drv: &'a DrvPath, for_: &'a DrvPath },
    Leave(&'a DrvPath),
}

impl<'a> Known<'a> {
    fn get(&self, drv: &DrvPath, needed_by: &DrvPath) -> Result<&'a (Derivation, PackId), Unplannable> {
        let absent = || Unplannable::Absent { drv: drv.clone(), needed_by: needed_by.clone() };
        self.derivations.get(drv).ok_or_else(absent)
    }

    /// The input derivations of which a wanted output is not available.
    fn missing_inputs(
        &self,
        drv: &'a DrvPath,
        derivation: &'a Derivation,
    ) -> Result<impl Iterator<Item = &'a DrvPath> + use<'a>, Unplannable> {
        let mut missing = Vec::new();
        for input in derivation.input_drvs.keys() {
            let outputs = self.wanted_outputs(drv, derivation, input)?;
            if !outputs.iter().all(|path| (self.available)(path)) {
                missing.push(input);
            }
        }
        Ok(missing.into_iter().rev())
    }

    /// The paths that `drv` wants of `input`.
    fn wanted_outputs(&self, drv: &DrvPath, derivation: &Derivation, input: &DrvPath) -> Result<Vec<StorePath>, Unplannable> {
        let (made_by, _) = self.get(input, drv)?;
        let wanted = derivation.input_drvs.get(input).into_iter().flatten();
        wanted
            .map(|name| {
                let output = made_by.outputs.get(name).ok_or_else(|| Unplannable::NoSuchOutput {
                    drv: drv.clone(),
                    input: input.clone(),
                    output: name.to_string(),
                })?;
                Ok(output.path.clone())
            })
            .collect()
    }

    fn recipe(&self, drv: &DrvPath) -> Result<Recipe, Unplannable> {
        let (derivation, pack) = self.get(drv, drv)?;
        let mut inputs = derivation.input_srcs.clone();
        for input in derivation.input_drvs.keys() {
            inputs.extend(self.wanted_outputs(drv, derivation, input)?);
        }
        let outputs = derivation.outputs.iter().map(|(name, output)| {
            let ca = output.fixed.map(ContentAddress::Fixed);
            (name.clone(), Product { path: output.path.clone(), ca })
        });
        Ok(Recipe {
            drv: drv.clone(),
            pack: *pack,
            store_dir: self.store_dir.clone(),
            system: derivation.system.clone(),
            features: derivation.required_system_features().into_iter().collect(),
            outputs: outputs.collect(),
            inputs,
        })
    }
}
