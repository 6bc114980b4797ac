//! Which builds a submission needs: its closure is walked from the roots down and stops where outputs are available.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::request::{Mode, Root};
use drover_messages::{AgentId, AttemptId, BuildId, SubmissionId};
use drover_store::{DrvPath, OutputName, StoreDir, StorePath};

use crate::below::Below;
use crate::closure::{Closure, DrvNo, Outline, PathNo};
use crate::recipe::{Paths, Product, Recipe};

/// A build that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its id.
    pub id: BuildId,
    /// Whether the user named it.
    pub root: bool,
    /// What is built.
    pub recipe: Recipe,
    /// What it needs.
    pub inputs: Paths,
    /// Whether it is built, or built again and compared.
    pub mode: Mode,
    /// Its place in the order of making, where builds are not entered in that order.
    pub seq: Option<u64>,
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
    /// The whole closure, verified.
    pub closure: &'a Closure,
    /// Whether an item can be fetched.
    pub available: &'a dyn Fn(&StorePath) -> bool,
    /// Whether the agents of this store directory need a derivation's whole closure in their stores, sources included.
    pub whole_closures: bool,
}

/// Plans a submission.
pub fn plan(submission: SubmissionId, roots: &[Root], how: How, known: &Known<'_>) -> Result<Plan, Unplannable> {
    let closure = known.closure;
    let mut numbered = Vec::with_capacity(roots.len());
    for root in roots {
        let absent = || Unplannable::Absent { drv: root.drv.clone(), needed_by: root.drv.clone() };
        numbered.push((closure.number(&root.drv).ok_or_else(absent)?, root.build));
    }
    let mut walk = Walk {
        submission,
        how,
        known,
        available: closure.paths().iter().map(known.available).collect(),
        order: Order::of(closure.paths()),
        named: numbered.iter().copied().collect(),
        seen: vec![false; closure.iter().len()],
        below: Below::new(closure),
        builds: Vec::new(),
        sources: BTreeSet::new(),
    };
    let mut first = Vec::new();
    for (root, _) in &numbered {
        first.extend(walk.first(*root)?);
    }
    walk.go(first)?;
    for (root, build) in numbered.iter().filter(|_| how.mode == Mode::Check) {
        walk.enter(*build, *root, Mode::Check)?;
    }
    let sources = walk.sources.into_iter().map(|rank| walk.order.path(rank).clone()).collect();
    Ok(Plan { builds: walk.builds, sources })
}

/// A walk from the roots down.
struct Walk<'a> {
    submission: SubmissionId,
    how: How,
    known: &'a Known<'a>,
    /// Whether each item can be fetched.
    available: Vec<bool>,
    order: Order<'a>,
    named: BTreeMap<DrvNo, BuildId>,
    /// The derivations that the walk has come to.
    seen: Vec<bool>,
    below: Below<'a>,
    builds: Vec<Planned>,
    sources: BTreeSet<Rank>,
}

/// A step of the walk, which keeps its own stack: closures are thousands deep.
enum Visit {
    Enter { drv: DrvNo, for_: DrvNo },
    Leave(DrvNo),
}

impl<'a> Walk<'a> {
    /// Where it begins: at a root, or with what must be there before the root can be checked.
    fn first(&self, root: DrvNo) -> Result<Vec<Visit>, Unplannable> {
        let outline = self.get(root, root)?;
        let is_there = outline.outputs.iter().all(|made| self.is_available(made.path));
        match self.how {
            How { mode: Mode::Build, .. } => Ok(vec![Visit::Enter { drv: root, for_: root }]),
            How { input_builds: false, .. } => Ok(Vec::new()),
            _ if is_there => self.missing_inputs(root),
            _ => Ok(vec![Visit::Enter { drv: root, for_: root }]),
        }
    }

    fn go(&mut self, first: Vec<Visit>) -> Result<(), Unplannable> {
        let mut stack: Vec<Visit> = first.into_iter().rev().collect();
        while let Some(visit) = stack.pop() {
            match visit {
                Visit::Enter { drv, for_ } => {
                    if std::mem::replace(&mut self.seen[drv.index()], true) {
                        continue;
                    }
                    self.get(drv, for_)?;
                    stack.push(Visit::Leave(drv));
                    if self.how.input_builds {
                        stack.extend(self.missing_inputs(drv)?);
                    }
                }
                Visit::Leave(drv) => self.enter(self.id(drv), drv, Mode::Build)?,
            }
        }
        Ok(())
    }

    /// The id of an ordinary build.
    fn id(&self, no: DrvNo) -> BuildId {
        let drv = self.known.closure.drv(no);
        match (self.named.get(&no), self.how.mode) {
            (Some(id), Mode::Build) => *id,
            (Some(_), Mode::Check) => BuildId::before_check(self.submission, drv),
            (None, _) => BuildId::derived(self.submission, drv),
        }
    }

    fn enter(&mut self, id: BuildId, drv: DrvNo, mode: Mode) -> Result<(), Unplannable> {
        let outline = self.get(drv, drv)?;
        let mut sources: Vec<PathNo> = outline.sources.to_vec();
        if self.known.whole_closures {
            // What is built for this submission has waited for its own.
            for input in outline.inputs().filter(|input| !self.seen[input.index()]) {
                sources.extend(self.below.sources(input, &self.available).iter());
            }
        }
        self.sources.extend(sources.iter().map(|path| self.order.rank(*path)));
        let mut inputs = sources;
        inputs.extend(self.wanted(drv)?.into_iter().map(|(_, path)| path));
        if mode == Mode::Check {
            inputs.extend(outline.outputs.iter().map(|made| made.path));
        }
        let root = self.named.get(&drv) == Some(&id);
        let (recipe, inputs) = (self.recipe(drv, outline), self.order.sorted(inputs).cloned().collect());
        self.builds.push(Planned { id, root, recipe, inputs, mode, seq: None, known_failure: None, avoid: BTreeSet::new() });
        Ok(())
    }

    fn recipe(&self, drv: DrvNo, outline: &Outline) -> Recipe {
        let Known { store_dir, closure, .. } = self.known;
        let outputs = outline.outputs.iter().map(|made| {
            let path = closure.paths()[made.path.index()].clone();
            (made.name.clone(), Product { path, ca: made.ca.map(Box::new) })
        });
        Recipe {
            drv: closure.drv(drv).clone(),
            pack: outline.pack,
            store_dir: (*store_dir).clone(),
            system: outline.system.clone(),
            features: outline.features.clone(),
            outputs: outputs.collect(),
        }
    }

    fn is_available(&self, path: PathNo) -> bool {
        self.available[path.index()]
    }

    fn get(&self, drv: DrvNo, needed_by: DrvNo) -> Result<&'a Outline, Unplannable> {
        let closure = self.known.closure;
        let name = |no| closure.drv(no).clone();
        closure.get(drv).ok_or_else(|| Unplannable::Absent { drv: name(drv), needed_by: name(needed_by) })
    }

    /// The input derivations of which a wanted output is not available, the last one first.
    fn missing_inputs(&self, drv: DrvNo) -> Result<Vec<Visit>, Unplannable> {
        let wanted = self.wanted(drv)?.into_iter().rev();
        let mut missing: Vec<DrvNo> = wanted.filter(|(_, path)| !self.is_available(*path)).map(|(input, _)| input).collect();
        missing.dedup();
        Ok(missing.into_iter().map(|input| Visit::Enter { drv: input, for_: drv }).collect())
    }

    /// The outputs that a derivation wants of others.
    fn wanted(&self, drv: DrvNo) -> Result<Vec<(DrvNo, PathNo)>, Unplannable> {
        let closure = self.known.closure;
        let outline = self.get(drv, drv)?;
        for input in outline.inputs() {
            self.get(input, drv)?;
        }
        let no_such = |input, name: &OutputName| Unplannable::NoSuchOutput {
            drv: closure.drv(drv).clone(),
            input: closure.drv(input).clone(),
            output: name.to_string(),
        };
        let found = closure.wanted(outline);
        found.map(|(input, path)| Ok((input, path.map_err(|name| no_such(input, name))?))).collect()
    }
}

/// Items in order of their names, which are compared but once for all builds that need them.
struct Order<'a> {
    paths: &'a [StorePath],
    ranks: Vec<Rank>,
    by_rank: Vec<usize>,
}

/// An item's place among all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u32);

impl<'a> Order<'a> {
    fn of(paths: &'a [StorePath]) -> Self {
        let mut by_rank: Vec<usize> = (0..paths.len()).collect();
        by_rank.sort_unstable_by_key(|n| &paths[*n]);
        let mut ranks = vec![Rank(0); paths.len()];
        for (n, rank) in by_rank.iter().zip(0..) {
            ranks[*n] = Rank(rank);
        }
        Self { paths, ranks, by_rank }
    }

    fn rank(&self, path: PathNo) -> Rank {
        self.ranks[path.index()]
    }

    fn path(&self, rank: Rank) -> &'a StorePath {
        &self.paths[self.by_rank[rank.0 as usize]]
    }

    /// Each of these once, in order.
    fn sorted(&self, paths: Vec<PathNo>) -> impl Iterator<Item = &'a StorePath> {
        let mut ranks: Vec<Rank> = paths.into_iter().map(|path| self.rank(path)).collect();
        ranks.sort_unstable();
        ranks.dedup();
        ranks.into_iter().map(|rank| self.path(rank))
    }
}
