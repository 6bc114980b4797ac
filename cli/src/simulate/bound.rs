//! What no order of builds can beat: the longest path on the fastest agents, and all work spread over all slots.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::fleet::{Fleet, Group};
use super::graph::Graph;

/// Lower bounds, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Bound {
    /// Until the longest chain of builds that need each other is done, each begun when it has come, on the fastest agent that
    /// can build it.
    pub(super) longest_path_millis: u64,
    /// All work over all slots by their speeds: the most that this is for any set of systems.
    pub(super) work_over_slots_millis: u64,
}

impl Bound {
    /// Of a graph whose builds take so long at speed 1.
    pub(super) fn of(graph: &Graph, fleet: &Fleet, millis: &[u64]) -> Self {
        Self {
            longest_path_millis: longest_path(graph, fleet, millis),
            work_over_slots_millis: work_over_slots(graph, fleet, millis),
        }
    }

    /// The higher of both.
    pub(super) fn millis(&self) -> u64 {
        self.longest_path_millis.max(self.work_over_slots_millis)
    }
}

/// Systems of builds are few, and so are sets of agents that build for one.
fn builds_for(agent: &Group, system: &str) -> bool {
    system == "builtin" || agent.systems.iter().any(|has| has == system)
}

fn longest_path(graph: &Graph, fleet: &Fleet, millis: &[u64]) -> u64 {
    let mut fastest: BTreeMap<&str, f64> = BTreeMap::new();
    let mut ends: Vec<u64> = Vec::with_capacity(millis.len());
    let builds = graph.builds.iter().zip(&graph.needs).zip(graph.arrived());
    for (((planned, needs), arrived), millis) in builds.zip(millis) {
        let system = planned.recipe.system.as_str();
        let speed = *fastest.entry(system).or_insert_with(|| {
            fleet.agents().filter(|agent| builds_for(agent, system)).map(|agent| agent.speed).fold(0.001, f64::max)
        });
        // What is planned later is taken to begin at once.
        let end = |maker: &usize| ends.get(*maker).copied().unwrap_or(0);
        let before = needs.iter().filter_map(|item| graph.makers[*item].iter().map(end).min()).max().unwrap_or(0);
        ends.push(before.max(arrived) + took(*millis, speed));
    }
    ends.into_iter().max().unwrap_or(0)
}

/// For each system by itself, and for all together: only slots that can build for one of them count.
fn work_over_slots(graph: &Graph, fleet: &Fleet, millis: &[u64]) -> u64 {
    let mut work: BTreeMap<&str, u64> = BTreeMap::new();
    for (planned, millis) in graph.builds.iter().zip(millis) {
        *work.entry(planned.recipe.system.as_str()).or_default() += millis;
    }
    let all: BTreeSet<&str> = work.keys().copied().collect();
    let sets = all.iter().map(|system| BTreeSet::from([*system])).chain([all.clone()]);
    let over_slots = sets.map(|systems| {
        let able = fleet.agents().filter(|agent| systems.iter().any(|system| builds_for(agent, system)));
        let speed: f64 = able.map(|agent| f64::from(agent.slots) * agent.speed).sum();
        let work: u64 = systems.iter().map(|system| work[system]).sum();
        (work as f64 / speed.max(0.001)) as u64
    });
    over_slots.max().unwrap_or(0)
}

/// What a build takes at this speed, in milliseconds; never 0.
pub(super) fn took(millis: u64, speed: f64) -> u64 {
    ((millis as f64 / speed).round() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::graph;
    use super::super::graph::{Arrival, SUBMISSION};
    use super::*;

    fn bound(fleet: &str, millis: &[u64]) -> Bound {
        let graph = graph(&[("a", &[]), ("b", &["a"]), ("c", &[])]);
        Bound::of(&graph, &Fleet::parse(fleet).unwrap(), millis)
    }

    #[test]
    fn a_chain_takes_what_the_fastest_agent_takes_for_it() {
        let found = bound("[[agents]]\ncount = 9\n[[agents]]\nspeed = 2", &[1_000, 2_000, 500]);
        assert_eq!((found.longest_path_millis, found.work_over_slots_millis), (1_500, 318));
        assert_eq!(found.millis(), 1_500);
    }

    #[test]
    fn a_chain_begins_when_it_has_come() {
        let arrival =
            |at_millis, build| Arrival { submission: SUBMISSION, client: None, at_millis, priority: 0, builds: vec![build] };
        let builds = graph(&[("a", &[]), ("b", &["a"])]).builds;
        let graph = Graph::arriving(drover_store::StoreDir::nix(), builds, vec![arrival(0, 0), arrival(9_000, 1)]);
        let fleet = Fleet::parse("[[agents]]").unwrap();
        assert_eq!(Bound::of(&graph, &fleet, &[2_000, 1_000]).longest_path_millis, 10_000);
    }

    #[test]
    fn what_several_builds_make_is_there_when_the_first_is_done() {
        let mut builds = graph(&[("a", &[]), ("b", &[]), ("c", &["a"])]).builds;
        builds[1].recipe.outputs = builds[0].recipe.outputs.clone();
        let graph = Graph::of(drover_store::StoreDir::nix(), builds);
        let fleet = Fleet::parse("[[agents]]\nslots = 9").unwrap();
        assert_eq!(Bound::of(&graph, &fleet, &[2_000, 5_000, 1_000]).longest_path_millis, 5_000);
    }

    #[test]
    fn slots_count_by_their_speed() {
        let found = bound("[[agents]]\nslots = 1\nspeed = 0.5", &[1_000, 2_000, 500]);
        assert_eq!((found.longest_path_millis, found.work_over_slots_millis), (6_000, 7_000));
    }
}
