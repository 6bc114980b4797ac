//! What a build weighs in the order: how urgent it is, and how long the longest path is that hangs on it. Both are handed
//! down from those that need it, along the paths that change and no further. Derived, as the graph is.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_messages::{BuildId, ClientId, SubmissionId};

use crate::build::{Build, BuildState, Place};
use crate::durations::PackageNo;
use crate::limits::Order;
use crate::links::{BuildNo, Entry, ItemNo, Node};
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

impl Weight {
    /// One that needs the build counts for it, with the path that hangs on it if it lives.
    fn count(&mut self, expected_millis: u64, dependent: Weight, lives: impl FnOnce() -> bool) {
        self.urgency = self.urgency.max(dependent.urgency);
        let path_millis = expected_millis.saturating_add(dependent.path_millis);
        if path_millis > self.path_millis && lives() {
            self.path_millis = path_millis;
        }
    }
}

impl State {
    /// What those that need a build make of it. Until its submission lives, nothing that hangs on it is counted: all of
    /// that is measured at once then.
    fn weight_of(&self, no: BuildNo) -> Option<Weight> {
        let node = self.builds.at(no)?;
        let mut weight = Weight { urgency: node.build.priority, path_millis: node.expected_millis };
        let mut lives = Lives { state: self, known: None };
        let entries = node.products.iter().filter_map(|item| self.items.at(*item));
        for dependent in entries.flat_map(|entry| entry.dependents.iter()).filter_map(|no| self.builds.at(no)) {
            weight.count(node.expected_millis, dependent.weight, || lives.does(dependent.build.submission));
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
            let makers = self.open_makers(node.items()).filter(|(_, maker)| may_follow(maker, before, now));
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
        let Some(node) = self.builds.at(no) else { return };
        let makers: Vec<BuildNo> = self.open_makers(node.items()).map(|(no, _)| no).collect();
        self.weigh(makers);
    }

    /// Weighs what makes these: something may need them no more.
    pub(crate) fn weigh_makers(&mut self, items: &[ItemNo]) {
        let makers: Vec<BuildNo> = self.open_makers(items.iter().copied()).map(|(no, _)| no).collect();
        self.weigh(makers);
    }

    /// A build that was just entered: it takes what those that need it have, and hands its urgency down.
    pub(crate) fn weigh_entered(&mut self, no: BuildNo) {
        if let Some(weight) = self.weight_of(no) {
            self.set_weight(no, weight);
        }
        let Some(node) = self.builds.at(no).filter(|node| node.linked) else { return };
        let is_live = self.is_live(node.build.submission);
        let raised = |maker: &Node| is_live || maker.weight.urgency < node.weight.urgency;
        let makers: Vec<BuildNo> = self.open_makers(node.items()).filter(|(_, maker)| raised(maker)).map(|(no, _)| no).collect();
        self.weigh(makers);
    }

    /// Measures the paths of a submission that has come to life, those that need before those that are needed.
    pub(crate) fn measure(&mut self, submission: SubmissionId) {
        let members = self.members.get(&submission).cloned().unwrap_or_default();
        let mut builds: Vec<(u64, BuildNo)> = members.iter().filter_map(|no| self.by_seq(*no)).collect();
        builds.sort_unstable();
        for (_, no) in builds.into_iter().rev() {
            if let Some(weight) = self.weight_of(no) {
                self.set_weight(no, weight);
            }
        }
        // What others had made before, and this needs as well.
        let of_others = |(_, maker): &(BuildNo, &Node)| maker.build.submission != submission;
        let makers = members.iter().flat_map(|no| self.makers_of_inputs(*no)).filter(of_others);
        let makers: BTreeSet<BuildNo> = makers.map(|(no, _)| no).collect();
        self.weigh(makers);
    }

    /// Measures all builds, of a state that was just taken back and in which none is queued yet. Returns those that were
    /// measured too early: what needs them is older than they are.
    pub(crate) fn measure_all(&mut self) -> Vec<BuildNo> {
        let mut builds: Vec<(u64, BuildNo)> = self.builds.nodes().numbered().map(|(no, node)| (node.build.seq, no)).collect();
        builds.sort_unstable();
        // Each is looked at for everything that it needs: what was measured lies side by side, with whether it lives.
        let mut measured: Vec<Option<(Weight, bool)>> = self.builds.nodes().list_of(None);
        let (mut lives, mut early) = (Lives { state: self, known: None }, Vec::new());
        for (_, no) in builds.into_iter().rev() {
            let Some(node) = self.builds.at(no) else { continue };
            let mut weight = Weight { urgency: node.build.priority, path_millis: node.expected_millis };
            let entries = node.products.iter().filter_map(|item| self.items.at(*item));
            for dependent in entries.flat_map(|entry| entry.dependents.iter()) {
                match measured[dependent.index()] {
                    Some((dependent, lives)) => weight.count(node.expected_millis, dependent, || lives),
                    None => early.push(no),
                }
            }
            measured[no.index()] = Some((weight, lives.does(node.build.submission)));
        }
        for (no, node) in self.builds.nodes_mut().numbered_mut() {
            node.weight = measured[no.index()].map_or(node.weight, |(weight, _)| weight);
        }
        early
    }

    /// Builds of a package are expected to take another time now.
    pub(crate) fn expect_anew(&mut self, package: PackageNo) {
        let Some(known) = self.durations.at(package) else { return };
        let builds: Vec<BuildNo> = known.builds.iter().copied().collect();
        for no in &builds {
            let Some(node) = self.builds.at_mut(*no) else { continue };
            let before = std::mem::replace(&mut node.expected_millis, known.expected_millis(&node.build.recipe));
            if node.build.state.lease().is_some() {
                self.shares.end(node.client, before);
                self.shares.begin(node.client, node.expected_millis);
            }
        }
        self.weigh(builds);
    }

    /// The open builds that make what an open build needs.
    fn makers_of_inputs(&self, no: BuildNo) -> impl Iterator<Item = (BuildNo, &Node)> {
        self.builds.at(no).filter(|node| node.linked).into_iter().flat_map(|node| self.open_makers(node.items()))
    }

    /// The builds that may still make these: the order means nothing to what is over.
    fn open_makers(&self, items: impl Iterator<Item = ItemNo>) -> impl Iterator<Item = (BuildNo, &Node)> {
        let entries = items.filter_map(|item| self.items.at(item)).filter(|entry| entry.open_makers() > 0);
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
        let order = self.order;
        let Some(node) = self.builds.at_mut(no) else { return };
        let BuildState::Ready(_) = node.build.state else { return change(node) };
        let before = node.rank(order);
        change(node);
        let after = node.rank(order);
        if let BuildState::Ready(place) = &node.build.state
            && after != before
        {
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
        if let Some(node) = self.builds.at(no)
            && let BuildState::Ready(place) = &node.build.state
        {
            change(&mut self.ready, &node.requirement, place, node.rank(self.order));
        }
    }

    /// Whose a submission is; one that nobody knows is its own client's.
    pub(crate) fn client_of(&self, submission: SubmissionId) -> ClientId {
        let unknown = || ClientId::from_uuid(submission.uuid());
        self.submissions.get(&submission).map_or_else(unknown, |submission| submission.client)
    }
}

impl Node {
    /// Its place in the order.
    pub(crate) fn rank(&self, order: Order) -> Rank {
        let Build { id, seq, .. } = self.build;
        match order {
            Order::Full => {
                Rank::new(self.weight.urgency.saturating_add(self.bonus), self.weight.path_millis, self.client, seq, id)
            }
            Order::FirstComeFirst => Rank::by_age(self.client, seq, id),
        }
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
