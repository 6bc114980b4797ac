//! What comes into memory at the start of a reign, and what goes out of it while it lasts.

use std::collections::BTreeSet;

use drover_messages::{AgentId, BuildId, ClientId, Generation, SubmissionId};
use drover_store::StorePath;

use crate::build::Build;
use crate::durations::{Package, Took};
use crate::item::Item;
use crate::limits::Limits;
use crate::links::{Edge, ItemNo};
use crate::owed::Publication;
use crate::share::Used;
use crate::state::State;
use crate::submission::Submission;
use crate::time::Heard;

/// An open build as it was recorded, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBuild {
    /// The build.
    pub build: Build,
    /// The places of its inputs in a list of paths, in the order of their names.
    pub inputs: Box<[u32]>,
}

/// A path that open builds speak of by its place in a list.
enum Spoken {
    /// It is in memory.
    Of(ItemNo),
    /// Nothing is recorded of it, and no build has needed it yet.
    Not(StorePath),
}

impl State {
    /// Fills an empty state with what was recorded, through the same functions that change it while it runs. `paths` are those
    /// that the builds speak of, with what is recorded of each; the builds come in the order of making.
    pub fn remember(
        &mut self,
        submissions: Vec<Submission>,
        paths: Vec<(StorePath, Option<Item>)>,
        builds: impl IntoIterator<Item = OpenBuild>,
        owed: Vec<Publication>,
    ) {
        self.remembering = Some(Vec::new());
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
        for OpenBuild { build, inputs } in builds {
            let inputs = inputs.iter().filter_map(|place| Some(Edge::to(self.speak(&build, spoken.get_mut(*place as usize)?))));
            let inputs = inputs.collect();
            self.enter_linked(build, inputs);
        }
        for publication in owed {
            self.owe(publication);
        }
        let late = self.remembering.take().unwrap_or_default();
        self.measure_all(late);
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

    /// Takes what is finished out of memory, once it is recorded: succeeded builds of which everything is available,
    /// failed ones behind which nothing waits, items that nothing open needs, and submissions without a build in memory.
    pub fn forget_finished(
        &mut self,
        submissions: impl IntoIterator<Item = SubmissionId>,
        builds: impl IntoIterator<Item = BuildId>,
        items: impl IntoIterator<Item = StorePath>,
    ) {
        for id in builds {
            if self.build(id).is_some_and(|build| self.is_finished(build)) {
                self.forget(id);
            }
        }
        for path in items {
            if let Some(item) = self.items.number(&path) {
                self.forget_idle(item);
            }
        }
        for id in submissions {
            self.forget_submission(id);
        }
    }
}
