//! The order of what is ready, and the weights that it stands on.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::BuildId;
use drover_store::StorePath;

use super::{Discrepancy, same};
use crate::build::BuildState;
use crate::limits::AGE_STEP_MILLIS;
use crate::queue::Queue;
use crate::state::State;
use crate::weight::Weight;

impl State {
    /// The ready queue, and what waits in it to grow old.
    pub(super) fn audit_queues(&self) -> Result<(), Discrepancy> {
        let (mut ready, mut ageing) = (Queue::default(), BTreeSet::new());
        for node in self.builds.values() {
            if let BuildState::Ready(place) = &node.build.state {
                ready.insert(&node.requirement, place, node.rank(self.order));
                let steps = u64::try_from(node.bonus).unwrap_or(0) + 1;
                ageing.insert((node.build.entered.plus_millis(AGE_STEP_MILLIS * steps), node.build.id));
            }
        }
        same("what is ready", &self.ready, &ready)?;
        same("what grows old", &self.ageing, &ageing)
    }

    /// Of what is not over, whatever was entered, ended or learned in whatever order.
    pub(super) fn audit_weights(&self) -> Result<(), Discrepancy> {
        let weights = self.weights_from_nothing();
        for node in self.builds.values().filter(|node| !node.build.state.is_over()) {
            let id = node.build.id;
            same(format!("the weight of {id}"), &Some(&node.weight), &weights.get(&id))?;
        }
        Ok(())
    }

    /// The weights of all that is not over: those that need before those that are needed.
    fn weights_from_nothing(&self) -> BTreeMap<BuildId, Weight> {
        let mut pending = self.needed_by();
        let above = pending.clone();
        let mut weights = BTreeMap::new();
        loop {
            let known = |(_, above): &(&BuildId, &BTreeSet<BuildId>)| above.iter().all(|id| weights.contains_key(id));
            let next: Vec<BuildId> = pending.iter().filter(known).map(|(id, _)| *id).collect();
            if next.is_empty() {
                return weights;
            }
            for id in next {
                pending.remove(&id);
                weights.insert(id, self.weight_below(id, &above[&id], &weights));
            }
        }
    }

    /// Of each build that is not over, those that need what it makes.
    fn needed_by(&self) -> BTreeMap<BuildId, BTreeSet<BuildId>> {
        let mut users: BTreeMap<&StorePath, BTreeSet<BuildId>> = BTreeMap::new();
        for build in self.builds().filter(|build| !build.state.is_over()) {
            for (path, _) in self.inputs(build.id) {
                users.entry(path).or_default().insert(build.id);
            }
        }
        let needing = |path: &StorePath| users.get(path).into_iter().flatten().copied();
        let open = self.builds().filter(|build| !build.state.is_over());
        open.map(|build| (build.id, build.products().flat_map(needing).collect())).collect()
    }

    fn weight_below(&self, id: BuildId, above: &BTreeSet<BuildId>, weights: &BTreeMap<BuildId, Weight>) -> Weight {
        let node = &self.builds[&id];
        let urgency = above.iter().map(|id| weights[id].urgency).chain([node.build.priority]).max();
        let live = above.iter().filter(|id| self.is_live(self.builds[id].build.submission));
        let longest = live.map(|id| weights[id].path_millis).max().unwrap_or(0);
        Weight { urgency: urgency.unwrap_or(node.build.priority), path_millis: node.expected_millis.saturating_add(longest) }
    }
}
