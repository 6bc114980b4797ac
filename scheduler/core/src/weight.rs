//! What a build weighs in the order: how urgent it is, and how long the longest path is that hangs on it. Both are handed
//! down from those that need it, along the paths that change and no further. Derived, as the graph is.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_messages::{BuildId, ClientId, SubmissionId};

use crate::build::{BuildState, Place};
use crate::durations::Package;
use crate::limits::Order;
use crate::links::{BuildNo, Entry, Node};
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
    fn weight_of(&self, no: BuildNo) -> Option<Weight> {
        let node = self.builds.at(no)?;
        let mut weight = Weight { urgency: node.build.priority, path_millis: node.expected_millis };
        let mut lives = Lives { state: self, known: None };
        let entries = node.products.iter().filter_map(|item| self.items.at(*item));
        for dependent in entries.flat_map(|entry| &entry.dependents).filter_map(|no| self.builds.at(*no)) {
            weight.urgency = weight.urgency.max(dependent.weight.urgency);
            let path = node.expected_millis.saturating_add(dependent.weight.path_millis);
            if path > weight.path_millis && lives.does(dependent.build.submission) {
                weight.path_millis = path;
            }
        }
        Some(weight)
    }

    /// Weighs builds anew, and what they need, as far as that changes: what needs before what is needed, so that hardly any
    /// is weighed twice, however many paths lead to it.
    pub(crate) fn weigh(&mut self, builds: impl IntoIterator<Item = BuildNo>) {
        let mut pending: BTreeSet<(u64, BuildNo)> = builds.into_iter().filter_map(|no| self.by_seq(no)).collect();
        while let Some((_, no)) = pending.pop_last() {
            let Some(now) = self.weight_of(no) else { continue };
            let Some(before) = self.builds.at(no).map(|node| node.weight).filter(|before| *before != now) else { continue };
            self.set_weight(no, now);
            let Some(node) = self.builds.at(no).filter(|node| node.linked) else { continue };
            let makers = self.open_makers(node).filter(|(_, maker)| may_follow(maker, before, now));
            pending.extend(makers.map(|(no, maker)| (maker.build.seq, no)));
        }
    }

    fn by_seq(&self, no: BuildNo) -> Option<(u64, BuildNo)> {
        Some((self.builds.at(no)?.build.seq, no))
    }

    /// A build that was over is open again: nobody has weighed it meanwhile, and it counts for what it needs.
    pub(crate) fn weigh_reopened(&mut self, no: BuildNo) {
        if let Some(weight) = self.weight_of(no) {
            self.set_weight(no, weight);
        }
        self.weigh_inputs(no);
    }

    /// Weighs what a build needs: it may need it no more.
    pub(crate) fn weigh_inputs(&mut self, no: BuildNo) {
        let Some(node) = self.builds.at(no) else { return };
        let makers: Vec<BuildNo> = self.open_makers(node).map(|(no, _)| no).collect();
        self.weigh(makers);
    }

    /// A build that was just entered: it takes what those that need it have, and hands its urgency down.
    pub(crate) fn weigh_entered(&mut self, no: BuildNo) {
        if let Some(late) = &mut self.remembering {
            let node = self.builds.at(no);
            let mut products = node.into_iter().flat_map(|node| &node.products).filter_map(|item| self.items.at(*item));
            if products.any(|entry| !entry.dependents.is_empty()) {
                late.push(no);
            }
            return;
        }
        if let Some(weight) = self.weight_of(no) {
            self.set_weight(no, weight);
        }
        let Some(node) = self.builds.at(no).filter(|node| node.linked) else { return };
        let is_live = self.is_live(node.build.submission);
        let raised = |maker: &Node| is_live || maker.weight.urgency < node.weight.urgency;
        let makers: Vec<BuildNo> = self.open_makers(node).filter(|(_, maker)| raised(maker)).map(|(no, _)| no).collect();
        self.weigh(makers);
    }

    /// Measures the paths of a submission that has come to life, those that need before those that are needed.
    pub(crate) fn measure(&mut self, submission: SubmissionId) {
        let members = self.members.get(&submission).cloned().unwrap_or_default();
        self.measure_each(members.iter().copied());
        // What others had made before, and this needs as well.
        let makers: BTreeSet<BuildNo> = members.iter().flat_map(|no| self.makers_of_inputs(*no)).map(|(no, _)| no).collect();
        self.weigh(makers.difference(&members).copied());
    }

    /// Measures all builds, of a state that was just taken back.
    pub(crate) fn measure_all(&mut self, late: Vec<BuildNo>) {
        let all: Vec<BuildNo> = self.builds.numbers().collect();
        self.measure_each(all.into_iter());
        // What is needed is mostly older than what needs it; where it is not, it was measured too early.
        self.weigh(late);
    }

    fn measure_each(&mut self, builds: impl Iterator<Item = BuildNo>) {
        let mut builds: Vec<(u64, BuildNo)> = builds.filter_map(|no| self.by_seq(no)).collect();
        builds.sort_unstable();
        for (_, no) in builds.into_iter().rev() {
            if let Some(weight) = self.weight_of(no) {
                self.set_weight(no, weight);
            }
        }
    }

    /// Builds of a package are expected to take another time now.
    pub(crate) fn expect_anew(&mut self, package: &Package) {
        let builds: Vec<BuildNo> = self.of_package.get(package).into_iter().flatten().copied().collect();
        for no in &builds {
            let Some(node) = self.builds.at_mut(*no) else { continue };
            let before =
                std::mem::replace(&mut node.expected_millis, self.durations.expected_millis(&node.package, &node.build.recipe));
            if node.build.state.lease().is_some() {
                self.shares.end(node.client, before);
                self.shares.begin(node.client, node.expected_millis);
            }
        }
        self.weigh(builds);
    }

    /// The open builds that make what an open build needs.
    fn makers_of_inputs(&self, no: BuildNo) -> impl Iterator<Item = (BuildNo, &Node)> {
        self.builds.at(no).filter(|node| node.linked).into_iter().flat_map(|node| self.open_makers(node))
    }

    /// The order means nothing to what is over.
    fn open_makers<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = (BuildNo, &'a Node)> {
        let entries = node.inputs.iter().filter_map(|edge| self.items.at(edge.item)).filter(|entry| entry.open_makers() > 0);
        let makers = entries.flat_map(Entry::makers).filter_map(|no| Some((no, self.builds.at(no)?)));
        makers.filter(|(_, maker)| !maker.build.state.is_over())
    }

    fn set_weight(&mut self, no: BuildNo, weight: Weight) {
        self.replace_rank(no, |node| node.weight = weight);
    }

    /// It has waited for so long that it goes before others that are as urgent.
    pub(crate) fn age(&mut self, id: BuildId, bonus: i32) {
        if let Some(no) = self.builds.number(&id) {
            self.replace_rank(no, |node| node.bonus = bonus);
        }
    }

    fn replace_rank(&mut self, no: BuildNo, change: impl FnOnce(&mut Node)) {
        let Some(before) = self.rank(no) else { return };
        if let Some(node) = self.builds.at_mut(no) {
            change(node);
        }
        let Some(after) = self.rank(no).filter(|after| *after != before) else { return };
        let Some(node) = self.builds.at(no) else { return };
        if let BuildState::Ready(place) = &node.build.state {
            self.ready.remove(&node.requirement, place, before);
            self.ready.insert(&node.requirement, place, after);
        }
    }

    /// Keeps to this order from now on, for what is queued already as well.
    pub(crate) fn keep_order(&mut self, order: Order) {
        let is_ready = |no: &BuildNo| self.builds.at(*no).is_some_and(|node| matches!(node.build.state, BuildState::Ready(_)));
        let ready: Vec<BuildNo> = self.builds.numbers().filter(is_ready).collect();
        for no in &ready {
            self.queue(*no, Queue::remove);
        }
        self.order = order;
        for no in &ready {
            self.queue(*no, Queue::insert);
        }
    }

    fn queue(&mut self, no: BuildNo, change: impl FnOnce(&mut Queue, &Arc<Requirement>, &Place, Rank)) {
        let rank = self.rank(no);
        if let (Some(rank), Some(node)) = (rank, self.builds.at(no))
            && let BuildState::Ready(place) = &node.build.state
        {
            change(&mut self.ready, &node.requirement, place, rank);
        }
    }

    /// A build's place in the order.
    pub(crate) fn rank(&self, no: BuildNo) -> Option<Rank> {
        let node = self.builds.at(no)?;
        let id = node.build.id;
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

/// Whether a build's weight may be another, now that one that needs it weighs something else: more than it has counted, or
/// less where that had decided.
fn may_follow(maker: &Node, before: Weight, now: Weight) -> bool {
    let Weight { urgency, path_millis } = maker.weight;
    let path = |dependent: Weight| maker.expected_millis.saturating_add(dependent.path_millis);
    let raised = now.urgency > urgency || path(now) > path_millis;
    let lowered = (now.urgency < before.urgency && before.urgency >= urgency)
        || (now.path_millis < before.path_millis && path(before) >= path_millis);
    raised || lowered
}

/// Whether submissions live, asked again and again of mostly the same.
struct Lives<'a> {
    state: &'a State,
    known: Option<(SubmissionId, bool)>,
}

impl Lives<'_> {
    fn does(&mut self, submission: SubmissionId) -> bool {
        match self.known {
            Some((known, lives)) if known == submission => lives,
            _ => {
                let lives = self.state.is_live(submission);
                self.known = Some((submission, lives));
                lives
            }
        }
    }
}
