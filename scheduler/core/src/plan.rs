//! Which builds a submission needs: its closure is walked from the roots down and stops where outputs are available.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::request::{Mode, Root};
use drover_messages::{AgentId, AttemptId, BuildId, SubmissionId};
use drover_store::PackId;
use drover_store::{ContentAddress, Derivation, DrvPath, StoreDir, StorePath};

use crate::below::Below;
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
    /// Whether it is built, or built again and compared.
    pub mode: Mode,
    /// What is known of it: that it failed not long ago.
    pub known_failure: Option<Evidence>,
    /// Agents that have built the same before, where it is to go to another.
    pub avoid: BTreeSet<AgentId>,
}

/// A failure of another build of the same derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Which build.
    pub build: BuildId,
    /// In which attempt: it has the log.
    pub attempt: AttemptId,
    /// On which agent.
    pub agent: AgentId,
}

/// How the user wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct How {
    /// What is done with the roots.
    pub mode: Mode,
    /// Whether missing inputs get builds of their own, and so what is to be checked and is missing itself.
    pub input_builds: bool,
}

/// What a submission needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Its builds; what one needs comes before it.
    pub builds: Vec<Planned>,
    /// Sources that those builds need.
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
    /// Whether an item can be fetched.
    pub available: &'a dyn Fn(&StorePath) -> bool,
    /// Whether the agents of this store directory need a derivation's whole closure in their stores, sources included.
    pub whole_closures: bool,
}

/// Plans a submission.
pub fn plan(submission: SubmissionId, roots: &[Root], how: How, known: &Known<'_>) -> Result<Plan, Unplannable> {
    let mut walk = Walk {
        submission,
        how,
        known,
        named: roots.iter().map(|root| (&root.drv, root.build)).collect(),
        seen: BTreeSet::new(),
        below: Below::new(known),
        plan: Plan::default(),
    };
    let mut first = Vec::new();
    for root in roots {
        first.extend(walk.first(&root.drv)?);
    }
    walk.go(first)?;
    for root in roots.iter().filter(|_| how.mode == Mode::Check) {
        walk.enter(root.build, &root.drv, Mode::Check)?;
    }
    Ok(walk.plan)
}

/// A walk from the roots down.
struct Walk<'a> {
    submission: SubmissionId,
    how: How,
    known: &'a Known<'a>,
    named: BTreeMap<&'a DrvPath, BuildId>,
    seen: BTreeSet<&'a DrvPath>,
    below: Below<'a>,
    plan: Plan,
}

impl<'a> Walk<'a> {
    /// Where it begins: at a root, or with what must be there before the root can be checked.
    fn first(&self, root: &'a DrvPath) -> Result<Vec<Visit<'a>>, Unplannable> {
        let (derivation, _) = self.known.get(root, root)?;
        let is_there = derivation.outputs.values().all(|output| (self.known.available)(&output.path));
        match self.how {
            How { mode: Mode::Build, .. } => Ok(vec![Visit::Enter { drv: root, for_: root }]),
            How { input_builds: false, .. } => Ok(Vec::new()),
            _ if is_there => self.inputs(root, derivation),
            _ => Ok(vec![Visit::Enter { drv: root, for_: root }]),
        }
    }

    fn inputs(&self, drv: &'a DrvPath, derivation: &'a Derivation) -> Result<Vec<Visit<'a>>, Unplannable> {
        Ok(self.known.missing_inputs(drv, derivation)?.map(|input| Visit::Enter { drv: input, for_: drv }).collect())
    }

    fn go(&mut self, first: Vec<Visit<'a>>) -> Result<(), Unplannable> {
        let mut stack: Vec<Visit<'a>> = first.into_iter().rev().collect();
        while let Some(visit) = stack.pop() {
            match visit {
                Visit::Enter { drv, for_ } => {
                    if !self.seen.insert(drv) {
                        continue;
                    }
                    let (derivation, _) = self.known.get(drv, for_)?;
                    stack.push(Visit::Leave(drv));
                    if self.how.input_builds {
                        stack.extend(self.inputs(drv, derivation)?);
                    }
                }
                Visit::Leave(drv) => self.enter(self.id(drv), drv, Mode::Build)?,
            }
        }
        Ok(())
    }

    /// The id of an ordinary build.
    fn id(&self, drv: &DrvPath) -> BuildId {
        match (self.named.get(drv), self.how.mode) {
            (Some(id), Mode::Build) => *id,
            (Some(_), Mode::Check) => BuildId::before_check(self.submission, drv),
            (None, _) => BuildId::derived(self.submission, drv),
        }
    }

    fn enter(&mut self, id: BuildId, drv: &'a DrvPath, mode: Mode) -> Result<(), Unplannable> {
        let mut recipe = self.known.recipe(drv)?;
        let (derivation, _) = self.known.get(drv, drv)?;
        let mut sources = derivation.input_srcs.clone();
        if self.known.whole_closures {
            // What is built for this submission has waited for its own.
            for input in derivation.input_drvs.keys().filter(|input| !self.seen.contains(input)) {
                sources.extend(self.below.sources(input).iter().cloned());
            }
            recipe.inputs.extend(sources.iter().cloned());
        }
        if mode == Mode::Check {
            recipe.inputs.extend(recipe.outputs.values().map(|output| output.path.clone()));
        }
        self.plan.sources.extend(sources);
        let root = self.named.values().any(|named| *named == id);
        self.plan.builds.push(Planned { id, root, recipe, mode, known_failure: None, avoid: BTreeSet::new() });
        Ok(())
    }
}

/// A step of the walk, which keeps its own stack: closures are thousands deep.
enum Visit<'a> {
    Enter { drv: &'a DrvPath, for_: &'a DrvPath },
    Leave(&'a DrvPath),
}

impl<'a> Known<'a> {
    pub(crate) fn get(&self, drv: &DrvPath, needed_by: &DrvPath) -> Result<&'a (Derivation, PackId), Unplannable> {
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
