//! The start of a reign: an empty state is filled with what was recorded, all of it at once. Links are counted as builds come,
//! and made when all are there; then what follows is derived as it is while the farm runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_messages::{AgentId, ClientId, Generation, SubmissionId, Timestamp};
use drover_store::StorePath;

use crate::agent::KnownAgent;
use crate::build::Build;
use crate::durations::Took;
use crate::graph::Affected;
use crate::item::Item;
use crate::limits::Limits;
use crate::links::ItemNo;
use crate::owed::Publication;
use crate::package::Package;
use crate::share::Used;
use crate::state::State;
use crate::submission::Submission;
use crate::tally::Tally;
use crate::time::Heard;

/// An open build as it was recorded, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBuild {
    /// The build.
    pub build: Build,
    /// The places of its inputs in a list of paths, in the order of their names.
    pub inputs: Box<[u32]>,
    /// What it is counted with. Whoever reads the build has its name at hand, and finds this out beside the thread that takes it.
    package: Package,
}

impl OpenBuild {
    /// A build, and the places of its inputs.
    pub fn new(build: Build, inputs: Box<[u32]>) -> Self {
        let package = Package::of(&build.recipe);
        Self { build, inputs, package }
    }
}

/// A path that open builds speak of by its place in a list.
enum Spoken {
    /// It is in memory.
    Of(ItemNo),
    /// Nothing is recorded of it, and no build has needed it yet.
    Not(StorePath),
}

impl State {
    /// Fills an empty state with what was recorded. `paths` are those that the builds speak of, with what is recorded of each;
    /// the builds come in the order of making.
    pub fn remember(
        &mut self,
        submissions: Vec<Submission>,
        paths: Vec<(StorePath, Option<Item>)>,
        builds: impl IntoIterator<Item = OpenBuild>,
        owed: Vec<Publication>,
    ) {
        for submission in submissions {
            self.put_submission(submission);
        }
        // Most builds make one.
        self.items.expect(paths.len());
        self.builds.expect(paths.len());
        let remember_item = |(path, item): (StorePath, Option<Item>)| match item {
            Some(item) => Spoken::Of(self.recall_item(&path, item)),
            None => Spoken::Not(path),
        };
        let mut spoken: Vec<Spoken> = paths.into_iter().map(remember_item).collect();
        let mut tally = Tally::default();
        for OpenBuild { build, inputs, package } in builds {
            let is_open = !build.state.is_over();
            let edge = |place: &u32| Some(tally.edge(self.speak(&build, spoken.get_mut(*place as usize)?), is_open));
            let inputs = inputs.iter().filter_map(edge).collect();
            self.admit(build, package, inputs);
        }
        self.builds.put_in_order();
        tally.link(&mut self.builds, &mut self.items);
        let early = self.measure_all();
        self.derive_all();
        self.weigh(early);
        for publication in owed {
            self.owe(Arc::new(publication));
        }
    }

    /// Derives what follows from what was recorded, of builds that are linked and measured.
    fn derive_all(&mut self) {
        for (no, node) in self.builds.nodes_mut().numbered_mut() {
            if !node.build.state.is_hopeful() {
                self.affected.extend(node.products.iter().map(|item| Affected::Item(*item)));
            }
            if node.may_turn() {
                self.affected.push(Affected::Build(no));
            }
        }
        self.settle();
    }

    /// An input of a build that is taken back.
    fn speak(&mut self, build: &Build, spoken: &mut Spoken) -> ItemNo {
        let no = match spoken {
            Spoken::Of(no) => return *no,
            Spoken::Not(path) => self.enter_item(&build.recipe.store_dir, path),
        };
        *spoken = Spoken::Of(no);
        no
    }

    /// Takes back what was learned of durations, and of who used what.
    pub fn remember_usage(
        &mut self,
        took: impl IntoIterator<Item = (Package, Took)>,
        used: impl IntoIterator<Item = (ClientId, Used)>,
    ) {
        for (package, took) in took {
            self.durations.remember(package, took);
        }
        for (client, used) in used {
            self.shares.remember(client, used);
        }
    }

    /// Takes back which agents are drained.
    pub fn remember_drained(&mut self, agents: impl IntoIterator<Item = (AgentId, Option<Heard>)>) {
        self.drained.extend(agents);
    }

    /// Takes back which agents were here. Those that were to the last were seen when the last reign ended.
    pub fn remember_agents(&mut self, agents: impl IntoIterator<Item = (AgentId, KnownAgent)>, ended: Timestamp) {
        let seen = |known: KnownAgent| KnownAgent { seen: known.seen.or(Some(ended)), ..known };
        self.absent.extend(agents.into_iter().map(|(id, known)| (id, seen(known))));
    }

    /// Takes back which submissions were cancelled before they were heard of.
    pub fn remember_cancelled(&mut self, submissions: impl IntoIterator<Item = SubmissionId>) {
        self.cancelled_ahead.extend(submissions);
    }

    /// From now on, agents that hold something by the records are waited for; and all are heard before any lease is given,
    /// unless there was no scheduler before this one.
    pub fn begin_reign(&mut self, heard: Heard, limits: &Limits) {
        if self.generation > Generation(1) {
            self.leases_from = heard.plus_millis(limits.hear_first_millis());
        }
        let holders: BTreeSet<AgentId> =
            self.builds().flat_map(|build| &build.attempts).filter(|a| !a.state.is_settled()).map(|a| a.agent).collect();
        self.unheard = holders.into_iter().map(|agent| (agent, heard)).collect();
    }

    /// The place in the order of making that the next build gets.
    pub fn set_next_seq(&mut self, seq: u64) {
        self.next_seq = self.next_seq.max(seq);
    }
}
