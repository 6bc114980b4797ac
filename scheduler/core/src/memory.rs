//! What comes into memory, at the start of a reign and when something speaks of what is finished; and what goes out of it.

use std::collections::BTreeSet;

use drover_messages::{AgentId, BuildId, ClientId, Generation, SubmissionId};
use drover_store::StorePath;

use crate::build::{Build, WholeBuild};
use crate::durations::{Package, Took};
use crate::item::{Item, ItemState};
use crate::limits::Limits;
use crate::links::{self, Edge, ItemNo};
use crate::owed::Publication;
use crate::share::Used;
use crate::state::{State, Turn};
use crate::submission::{Submission, SubmissionState};
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

    /// Takes builds and items back from the database.
    pub(crate) fn recall(
        &mut self,
        builds: impl IntoIterator<Item = WholeBuild>,
        items: impl IntoIterator<Item = (StorePath, Item)>,
    ) -> Vec<Turn> {
        for (path, item) in items {
            self.recall_item(&path, item);
        }
        builds.into_iter().flat_map(|WholeBuild { build, inputs }| self.enter(build, &inputs)).collect()
    }

    /// Takes an item back, if it is not there.
    pub(crate) fn recall_item(&mut self, path: &StorePath, item: Item) -> ItemNo {
        if let Some(no) = self.items.number(path) {
            return no;
        }
        self.reach.move_item(path, &ItemState::Wanted, &item.state);
        let no = self.items.enter(path, || item);
        self.refresh_offers(no, &mut Vec::new());
        no
    }

    /// Takes a build out of memory, with the items that nothing else in memory cares for.
    pub(crate) fn forget(&mut self, id: BuildId) {
        let Some(no) = self.builds.number(&id) else { return };
        self.unlink(no);
        let Some(node) = links::remove(&mut self.builds, &mut self.items, no) else { return };
        for attempt in &node.build.attempts {
            self.forget_tried(attempt.agent, id);
        }
        if let Some(count) = self.of_client.get_mut(&node.client) {
            *count -= 1;
        }
        if let Some(builds) = self.of_package.get_mut(&node.package) {
            builds.remove(&no);
            if builds.is_empty() {
                self.of_package.remove(&node.package);
            }
        }
        for item in &node.products {
            // Nothing open needs it now; what comes later must not find that this build stands in its way.
            self.refresh_offers(*item, &mut Vec::new());
        }
        for item in node.products.iter().copied().chain(node.inputs.iter().map(|edge| edge.item)) {
            self.forget_idle(item);
        }
        self.members.entry(node.build.submission).or_default().remove(&no);
        self.forget_submission(node.build.submission);
    }

    /// Takes a submission out of memory, if none of its builds is there.
    pub(crate) fn forget_submission(&mut self, id: SubmissionId) {
        let has_builds = self.members.get(&id).is_some_and(|members| !members.is_empty());
        let is_planned = self.submission(id).is_none_or(|submission| submission.state != SubmissionState::Planning);
        if !has_builds && is_planned {
            self.members.remove(&id);
            self.submissions.remove(&id);
        }
    }

    /// Takes an item out of memory, if nothing in memory cares for it.
    pub(crate) fn forget_idle(&mut self, item: ItemNo) {
        if let Some(entry) = self.items.remove_idle(item) {
            self.reach.move_item(&entry.path, &entry.item.state, &ItemState::Wanted);
        }
    }
}
