//! A farm as it was: its fleet, and who built what when, by the agents' own clocks.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::query::AgentRow;
use drover_messages::records::Record;
use drover_messages::{AgentId, Timestamp};
use drover_scheduler_core::{Package, Took};

use super::fleet::{Fleet, Group};
use super::graph::Graph;
use super::history::History;
use super::ledger::{Ledger, Span};

/// What such a run is called.
pub(super) const RECORDED: &str = "recorded";

/// The agents that have built, in order of their ids.
fn builders(history: &History) -> BTreeMap<AgentId, Vec<&Record>> {
    let mut builders: BTreeMap<AgentId, Vec<&Record>> = BTreeMap::new();
    for record in &history.records {
        builders.entry(record.agent).or_default().push(record);
    }
    for records in builders.values_mut() {
        records.sort_by_key(|record| record.times.started_at);
    }
    builders
}

/// The fleet that has built: of agents that are known as they say of themselves, of others as their builds show.
pub(super) fn fleet(history: &History) -> Fleet {
    let group = |(id, records): (AgentId, Vec<&Record>)| {
        let known = history.agents.iter().find(|agent| agent.agent == id);
        group(id, &records, known)
    };
    Fleet::of(builders(history).into_iter().map(group).collect())
}

/// What is learned from these builds themselves.
pub(super) fn learned(graph: &Graph, millis: &[u64]) -> BTreeMap<Package, Took> {
    let mut took: BTreeMap<Package, Vec<u64>> = BTreeMap::new();
    for (planned, millis) in graph.builds.iter().zip(millis) {
        took.entry(Package::of(&planned.recipe)).or_default().push(*millis);
    }
    took.into_iter().map(|(package, millis)| (package, Took::from_iter(millis))).collect()
}

fn group(id: AgentId, records: &[&Record], known: Option<&AgentRow>) -> Group {
    let at_once = slots(records).into_iter().max().map_or(1, |slot| slot as u32 + 1);
    let mut systems: BTreeSet<String> = records.iter().map(|record| record.system.clone()).collect();
    let required = records.iter().flat_map(|record| &record.features);
    let (amounts, plain): (Vec<&String>, Vec<&String>) = required.partition(|feature| amount(feature).is_some());
    let mut features: BTreeSet<String> = plain.into_iter().cloned().collect();
    let mut resources: BTreeMap<String, u64> = known.map(|agent| agent.resources.clone()).unwrap_or_default();
    for (name, takes) in amounts.into_iter().filter_map(|feature| amount(feature)) {
        let has = resources.entry(name.to_owned()).or_default();
        *has = takes.max(*has);
    }
    if let Some(agent) = known {
        systems.extend(agent.systems.iter().cloned());
        features.extend(agent.features.iter().cloned());
    }
    Group {
        name: known.map_or_else(|| id.to_string(), |agent| agent.name.clone()),
        slots: known.map_or(at_once, |agent| agent.max_parallel_builds.max(at_once)),
        systems: systems.into_iter().collect(),
        features: features.into_iter().collect(),
        mandatory_features: known.map(|agent| agent.mandatory_features.clone()).unwrap_or_default(),
        resources,
        ..Group::usual()
    }
}

/// A feature that is an amount: `mem:16`.
fn amount(feature: &str) -> Option<(&str, u64)> {
    let (name, amount) = feature.rsplit_once(':')?;
    Some((name, amount.parse().ok()?))
}

/// In which slot each build of an agent ran: the first that was free. They are in order of their starts.
fn slots(records: &[&Record]) -> Vec<usize> {
    let mut free_at: Vec<Timestamp> = Vec::new();
    let slot = |record: &&Record| {
        let free = free_at.iter().position(|free| *free <= record.times.started_at);
        let slot = free.unwrap_or(free_at.len());
        free_at.resize(free_at.len().max(slot + 1), Timestamp::default());
        free_at[slot] = record.times.stopped_at.max(record.times.started_at);
        slot
    };
    records.iter().map(slot).collect()
}

/// What happened, as far as it is recorded: until the last build ended, for when outputs could be fetched is not.
pub(super) fn ledger(history: &History, graph: &Graph) -> Ledger {
    let begin = history.records.iter().map(|record| record.created_at).min().unwrap_or_default();
    let at = |time: Timestamp| time.millis_since(begin);
    let mut ledger = Ledger::new(RECORDED);
    for (agent, (_, records)) in builders(history).into_iter().enumerate() {
        for (record, slot) in records.iter().zip(slots(&records)) {
            let (from, to) = (at(record.times.started_at), at(record.times.stopped_at.max(record.times.started_at)));
            let Some(build) = graph.index.get(&record.build).copied() else { continue };
            ledger.spans.push(Span { agent, slot, build, from, to, failed: false });
        }
    }
    ledger.spans.sort_by_key(|span| span.to);
    let mut ended = vec![0; graph.builds.len()];
    ledger.spans.iter().for_each(|span| ended[span.build] = span.to);
    let arrived = graph.arrived();
    let ready =
        |build: usize| graph.needs[build].iter().filter_map(|item| graph.makers[*item].iter().map(|n| ended[*n]).min()).max();
    let waited = |span: &Span| span.from.saturating_sub(ready(span.build).unwrap_or(0).max(arrived[span.build]));
    ledger.waits = ledger.spans.iter().map(waited).collect();
    ledger.makespan = ledger.spans.iter().map(|span| span.to).max().unwrap_or(0);
    ledger
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::record;
    use super::*;

    fn history(records: Vec<Record>) -> History {
        History::of(records, Vec::new(), None).unwrap()
    }

    #[test]
    fn builds_of_an_agent_that_overlap_ran_in_slots_of_their_own() {
        let history = history(vec![record("a", &[], 1, 0, 10), record("b", &[], 1, 5, 9), record("c", &[], 1, 10, 12)]);
        let fleet = fleet(&history);
        assert_eq!((fleet.agents().count(), fleet.slots()), (1, 2));
        let ledger = ledger(&history, &history.graph());
        let slots: Vec<_> = ledger.spans.iter().map(|span| (span.build, span.slot)).collect();
        assert_eq!(slots, [(0, 1), (1, 0), (2, 0)], "in order of their ends: b, a, c");
        assert_eq!((ledger.makespan, ledger.busy()), (12_000, 16_000));
    }

    #[test]
    fn a_build_has_waited_since_its_inputs_were_built() {
        let history = history(vec![record("a", &[], 1, 2, 10), record("b", &["a"], 2, 13, 14)]);
        assert_eq!(ledger(&history, &history.graph()).waits, [2_000, 3_000]);
    }

    #[test]
    fn an_agent_that_is_not_known_any_more_could_build_what_it_has_built() {
        let mut one = record("a", &[], 1, 0, 1);
        one.features = BTreeSet::from(["kvm".into(), "mem:16".into()]);
        let fleet = fleet(&history(vec![one]));
        let agent = fleet.agents().next().unwrap();
        assert_eq!(
            (agent.features.as_slice(), agent.systems.as_slice()),
            (&["kvm".to_owned()][..], &["x86_64-linux".to_owned()][..])
        );
        assert_eq!(agent.resources, BTreeMap::from([("mem".to_owned(), 16)]));
    }
}
