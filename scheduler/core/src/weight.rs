//! What a build weighs in the order: how urgent it is, and how long the longest path is that hangs on it. Both are handed
//! down from those that need it, along the paths that change and no further. Derived, as the graph is.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_messages::{BuildId, ClientId, SubmissionId};

use crate::build::{BuildState, Place};
use crate::durations::Package;
use crate::graph::Node;
use crate::limits::Order;
use crate::place::Requirement;
use crate::queue::{Queue, Rank};
use crate::state::State;

/// What a build weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Its own priority, or the highest of those that need it.
    pub(crate) urgency: i32,
    /// Expected, of itself and the longest chain of those that need it, in milliseconds.
    pub(crate) path_millis: u64,
}

impl State {
    /// What those that need a build make of it. Until its submission lives, nothing that hangs on it is counted: all of
    /// that is measured at once then.
    fn weight_of(&self, id: BuildId) -> Option<Weight> {
        let node = self.builds.get(&id)?;
        let mut weight = Weight { urgency: node.build.priority, path_millis: node.expected_millis };
        let entries = node.build.products().filter_map(|path| self.items.get(path));
        for dependent in entries.flat_map(|entry| &entry.dependents).filter_map(|id| self.builds.get(id)) {
            weight.urgency = weight.urgency.max(dependent.weight.urgency);
            if self.is_live(dependent.build.submission) {
                weight.path_millis = weight.path_millis.max(node.expected_millis.saturating_add(dependent.weight.path_millis));
            }
        }
        Some(weight)
    }

    /// Weighs builds anew, and what they need, as far as that changes: what needs before what is needed, so that hardly any
    /// is weighed twice, however many paths lead to it.
    pub(crate) fn weigh(&mut self, builds: impl IntoIterator<Item = BuildId>) {
        let mut pending: BTreeSet<(u64, BuildId)> = builds.into_iter().filter_map(|id| self.by_seq(id)).collect();
        while let Some((_, id)) = pending.pop_last() {
            let Some(now) = self.weight_of(id) else { continue };
            let before = self.builds[&id].weight;
            if now == before {
                continue;
            }
            self.set_weight(id, now);
            let makers = self.makers_of_inputs(id).into_iter();
            pending.extend(makers.filter(|maker| self.may_follow(*maker, before, now)).filter_map(|maker| self.by_seq(maker)));
        }
    }

    fn by_seq(&self, id: BuildId) -> Option<(u64, BuildId)> {
        Some((self.builds.get(&id)?.build.seq, id))
    }

    /// Whether a build's weight may be another, now that one that needs it weighs something else: more than it has counted, or
    /// less where that had decided.
    fn may_follow(&self, maker: BuildId, before: Weight, now: Weight) -> bool {
        let Some(node) = self.builds.get(&maker) else { return false };
        let Weight { urgency, path_millis } = node.weight;
        let path = |dependent: Weight| node.expected_millis.saturating_add(dependent.path_millis);
        let raised = now.urgency > urgency || path(now) > path_millis;
        let lowered = (now.urgency < before.urgency && before.urgency >= urgency)
            || (now.path_millis < before.path_millis && path(before) >= path_millis);
        raised || lowered
    }

    /// Weighs what a build needs: it may need it no more.
    pub(crate) fn weigh_inputs(&mut self, id: BuildId) {
        let makers = self.builds.get(&id).map(|node| self.open_makers(node)).unwrap_or_default();
        self.weigh(makers);
    }

    /// A build that was just entered: it takes what those that need it have, and hands its urgency down.
    pub(crate) fn weigh_entered(&mut self, id: BuildId) {
        if self.remembering {
            return;
        }
        if let Some(weight) = self.weight_of(id) {
            self.set_weight(id, weight);
        }
        let is_live = self.is_live(self.builds[&id].build.submission);
        let urgency = self.builds[&id].weight.urgency;
        let raises = |maker: &BuildId| self.builds.get(maker).is_some_and(|node| node.weight.urgency < urgency);
        let makers: Vec<BuildId> = self.makers_of_inputs(id).into_iter().filter(|maker| is_live || raises(maker)).collect();
        self.weigh(makers);
    }

    /// Measures the paths of a submission that has come to life, those that need before those that are needed.
    pub(crate) fn measure(&mut self, submission: SubmissionId) {
        let members: BTreeSet<BuildId> = self.members.get(&submission).into_iter().flatten().copied().collect();
        self.measure_each(&members);
        // What others had made before, and this needs as well.
        let makers: BTreeSet<BuildId> = members.iter().flat_map(|id| self.makers_of_inputs(*id)).collect();
        self.weigh(makers.difference(&members).copied());
    }

    /// Measures all builds, of a state that was just taken back.
    pub(crate) fn measure_all(&mut self) {
        let all: BTreeSet<BuildId> = self.builds.keys().copied().collect();
        self.measure_each(&all);
        // What is needed is mostly older than what needs it; where it is not, it was measured too early.
        let seq = |id: &BuildId| self.builds.get(id).map(|node| node.build.seq);
        let younger =
            |id: &BuildId| self.makers_of_inputs(*id).into_iter().filter(|maker| seq(maker) > seq(id)).collect::<Vec<_>>();
        let too_early: BTreeSet<BuildId> = all.iter().flat_map(younger).collect();
        self.weigh(too_early);
    }

    fn measure_each(&mut self, builds: &BTreeSet<BuildId>) {
        let mut builds: Vec<(u64, BuildId)> =
            builds.iter().filter_map(|id| Some((self.builds.get(id)?.build.seq, *id))).collect();
        builds.sort_unstable();
        for (_, id) in builds.into_iter().rev() {
            if let Some(weight) = self.weight_of(id) {
                self.set_weight(id, weight);
            }
        }
    }

    /// Builds of a package are expected to take another time now.
    pub(crate) fn expect_anew(&mut self, package: &Package) {
        let builds: Vec<BuildId> = self.of_package.get(package).into_iter().flatten().copied().collect();
        for id in &builds {
            if let Some(node) = self.builds.get_mut(id) {
                node.expected_millis = self.durations.expected_millis(&node.build.recipe);
            }
        }
        self.weigh(builds);
    }

    /// The open builds that make what an open build needs.
    fn makers_of_inputs(&self, id: BuildId) -> Vec<BuildId> {
        match self.builds.get(&id).filter(|node| node.linked) {
            Some(node) => self.open_makers(node),
            None => Vec::new(),
        }
    }

    /// The order means nothing to what is over.
    fn open_makers(&self, node: &Node) -> Vec<BuildId> {
        let entries = node.build.recipe.inputs.iter().filter_map(|path| self.items.get(path));
        let is_open = |id: &&BuildId| self.builds.get(id).is_some_and(|node| !node.build.state.is_over());
        entries.flat_map(|entry| &entry.producers).filter(is_open).copied().collect()
    }

    fn set_weight(&mut self, id: BuildId, weight: Weight) {
        self.replace_rank(id, |node| node.weight = weight);
    }

    /// It has waited for so long that it goes before others that are as urgent.
    pub(crate) fn age(&mut self, id: BuildId, bonus: i32) {
        self.replace_rank(id, |node| node.bonus = bonus);
    }

    fn replace_rank(&mut self, id: BuildId, change: impl FnOnce(&mut Node)) {
        let Some(before) = self.rank(id) else { return };
        if let Some(node) = self.builds.get_mut(&id) {
            change(node);
        }
        let Some(after) = self.rank(id).filter(|after| *after != before) else { return };
        let Some(node) = self.builds.get(&id) else { return };
        if let BuildState::Ready(place) = &node.build.state {
            self.ready.remove(&node.requirement, place, before);
            self.ready.insert(&node.requirement, place, after);
        }
    }

    /// Keeps to this order from now on, for what is queued already as well.
    pub(crate) fn keep_order(&mut self, order: Order) {
        let ready: Vec<BuildId> = self.builds().filter(|b| matches!(b.state, BuildState::Ready(_))).map(|b| b.id).collect();
        for id in &ready {
            self.queue(*id, Queue::remove);
        }
        self.order = order;
        for id in &ready {
            self.queue(*id, Queue::insert);
        }
    }

    fn queue(&mut self, id: BuildId, change: impl FnOnce(&mut Queue, &Arc<Requirement>, &Place, Rank)) {
        let rank = self.rank(id);
        if let (Some(rank), Some(node)) = (rank, self.builds.get(&id))
            && let BuildState::Ready(place) = &node.build.state
        {
            change(&mut self.ready, &node.requirement, place, rank);
        }
    }

    /// A build's place in the order.
    pub(crate) fn rank(&self, id: BuildId) -> Option<Rank> {
        let node = self.builds.get(&id)?;
        let urgency = node.weight.urgency.saturating_add(node.bonus);
        Some(match self.order {
            Order::Full => Rank::new(urgency, node.weight.path_millis, node.client, node.build.seq, id),
            Order::FirstComeFirst => Rank::by_age(node.client, node.build.seq, id),
        })
    }

    /// Whose a submission is; one that nobody knows is its own client's.
    pub(crate) fn client_of(&self, submission: SubmissionId) -> ClientId {
        let unknown = || ClientId::from_uuid(submission.uuid());
        self.submissions.get(&submission).map_or_else(unknown, |submission| submission.client)
    }
}
