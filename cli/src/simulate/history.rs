//! What a farm has built, read from its scheduler: the same graph, the same times, the same arrivals, to be tried under another
//! order or on another fleet.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::SubmissionId;
use drover_messages::query::{AgentRow, AskBuilds, MAX_PAGE};
use drover_messages::records::{AskRecords, Record, Records};
use drover_messages::request::Mode;
use drover_nats::Query;
use drover_scheduler_core::plan::Planned;
use drover_scheduler_core::{Product, Recipe};
use drover_store::{PackId, StoreDir, StorePath};

use super::durations::MOST_MILLIS;
use super::graph::{Arrival, Graph};
use crate::ask::Connection;
use crate::exit::bad_input;

/// The most builds that are replayed.
const MAX_RECORDS: usize = 1 << 20;

/// What was built, and by whom.
pub(super) struct History {
    /// What one needs comes before it; of builds that made the same, the first.
    pub(super) records: Vec<Record>,
    /// The agents that the scheduler knows, which need not be all that built.
    pub(super) agents: Vec<AgentRow>,
}

impl History {
    /// Reads it, page by page.
    pub(super) async fn read(connection: &Connection, which: AskBuilds, store_dir: Option<&StoreDir>) -> anyhow::Result<Self> {
        let mut ask = AskRecords { which: AskBuilds { limit: MAX_PAGE as u32, ..which } };
        let mut records = Vec::new();
        loop {
            let page: Records = connection.ask(Query::Records, &ask).await?;
            records.extend(page.records);
            if records.len() > MAX_RECORDS {
                return Err(bad_input(format!(
                    "more than {MAX_RECORDS} builds are recorded: ask for less, by --from or --submission"
                )));
            }
            match page.next {
                Some(next) => ask.which.after = Some(next),
                None => break,
            }
        }
        Self::of(records, crate::agent::all(connection).await?, store_dir)
    }

    /// Of these builds, those of one store directory.
    pub(super) fn of(mut records: Vec<Record>, agents: Vec<AgentRow>, store_dir: Option<&StoreDir>) -> anyhow::Result<Self> {
        let store_dir = store_dir.or(records.first().map(|newest| &newest.store_dir)).cloned();
        let all = records.len();
        records.retain(|record| Some(&record.store_dir) == store_dir.as_ref());
        if records.is_empty() {
            return Err(bad_input(
                "no build that was asked for has succeeded and is recorded with its times: nothing can be replayed",
            ));
        }
        if records.len() < all {
            eprintln!(
                "drover: {} builds of other store directories are left out; --store-dir names another",
                all - records.len()
            );
        }
        records.sort_by_key(|record| (record.times.stopped_at, record.build));
        let mut made = BTreeSet::new();
        records.retain(|record| record.outputs.iter().fold(false, |is_new, path| made.insert(path.clone()) | is_new));
        Ok(Self { records: in_order(records), agents })
    }

    /// As it is to be built again.
    pub(super) fn graph(&self) -> Graph {
        let begin = self.records.iter().map(|record| record.created_at).min().unwrap_or_default();
        let mut arrivals: BTreeMap<SubmissionId, Arrival> = BTreeMap::new();
        for (n, record) in self.records.iter().enumerate() {
            let at_millis = record.created_at.millis_since(begin);
            let new = || Arrival {
                submission: record.submission,
                client: record.client,
                at_millis,
                priority: i32::MIN,
                builds: vec![],
            };
            let arrival = arrivals.entry(record.submission).or_insert_with(new);
            arrival.at_millis = arrival.at_millis.min(at_millis);
            arrival.priority = arrival.priority.max(record.priority);
            arrival.builds.push(n);
        }
        let store_dir = self.records.first().map_or_else(StoreDir::nix, |record| record.store_dir.clone());
        Graph::arriving(store_dir, self.records.iter().map(planned).collect(), arrivals.into_values().collect())
    }

    /// What each build took, in milliseconds, as its agent said: a year at most.
    pub(super) fn millis(&self) -> Vec<u64> {
        self.records.iter().map(|record| (record.times.build_micros / 1000).clamp(1, MOST_MILLIS)).collect()
    }
}

fn planned(record: &Record) -> Planned {
    let outputs = record.outputs.iter().enumerate().filter_map(|(n, path)| {
        let product = Product { path: path.clone(), ca: None };
        Some((format!("out{n}").parse().ok()?, product))
    });
    let recipe = Recipe {
        drv: record.drv.clone(),
        pack: PackId::of(b""),
        store_dir: record.store_dir.clone(),
        system: record.system.clone(),
        features: record.features.clone(),
        outputs: outputs.collect(),
    };
    let inputs = record.inputs.iter().cloned().collect();
    Planned {
        id: record.build,
        root: false,
        recipe,
        inputs,
        mode: Mode::Build,
        seq: None,
        known_failure: None,
        avoid: BTreeSet::new(),
    }
}

/// What one needs comes before it, whatever clocks say.
fn in_order(records: Vec<Record>) -> Vec<Record> {
    let maker = |(n, record): (usize, &Record)| record.outputs.iter().map(move |path| (path.clone(), n)).collect::<Vec<_>>();
    let makers: BTreeMap<StorePath, usize> = records.iter().enumerate().flat_map(maker).collect();
    let needs = |record: &Record| record.inputs.iter().filter_map(|path| makers.get(path)).copied().collect::<Vec<_>>();
    let needs: Vec<Vec<usize>> = records.iter().map(needs).collect();
    let mut order = Vec::with_capacity(records.len());
    let mut entered = vec![false; records.len()];
    // It keeps its own stack: chains are thousands long.
    let mut stack: Vec<(usize, bool)> = (0..records.len()).rev().map(|n| (n, false)).collect();
    while let Some((n, left)) = stack.pop() {
        if left {
            order.push(n);
        } else if !std::mem::replace(&mut entered[n], true) {
            stack.push((n, true));
            stack.extend(needs[n].iter().map(|input| (*input, false)));
        }
    }
    let mut records: Vec<Option<Record>> = records.into_iter().map(Some).collect();
    order.into_iter().filter_map(|n| records[n].take()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use drover_messages::report::Times;
    use drover_messages::{AgentId, BuildId, Timestamp};

    use super::super::graph::tests::{hello, path};
    use super::*;

    /// A build on the agent of that number, from a second to another.
    pub(in super::super) fn record(name: &str, needs: &[&str], agent: u8, from: u64, to: u64) -> Record {
        let drv = hello(name);
        let id = |n: u8| uuid::Uuid::from_bytes([n; 16]);
        let submission = SubmissionId::from_uuid(id(100));
        Record {
            build: BuildId::derived(submission, &drv),
            submission,
            client: None,
            created_at: Timestamp(1_000_000),
            priority: 0,
            drv,
            store_dir: StoreDir::nix(),
            system: "x86_64-linux".into(),
            features: BTreeSet::new(),
            outputs: BTreeSet::from([path(name)]),
            inputs: needs.iter().map(|name| path(name)).collect(),
            agent: AgentId::from_uuid(id(agent)),
            times: Times {
                started_at: Timestamp(1_000_000 + from * 1000),
                stopped_at: Timestamp(1_000_000 + to * 1000),
                build_micros: (to - from) * 1_000_000,
                ..Times::default()
            },
        }
    }

    #[test]
    fn what_one_needs_comes_before_it_also_where_a_clock_is_behind() {
        let records = vec![record("top", &["below"], 1, 0, 1), record("below", &[], 2, 5, 9)];
        let history = History::of(records, Vec::new(), None).unwrap();
        let graph = history.graph();
        assert_eq!((graph.needs, history.millis()), (vec![vec![], vec![0]], vec![4_000, 1_000]));
    }

    #[test]
    fn what_was_built_twice_is_built_once() {
        let again = Record { build: BuildId::new(), ..record("a", &[], 2, 20, 30) };
        let history = History::of(vec![again, record("a", &[], 1, 0, 10)], Vec::new(), None).unwrap();
        assert_eq!(history.records, [record("a", &[], 1, 0, 10)]);
    }

    #[test]
    fn submissions_arrive_when_they_did() {
        let created_at = Timestamp(1_060_000);
        let late = Record { submission: SubmissionId::new(), created_at, priority: 7, ..record("late", &[], 1, 60, 70) };
        let graph = History::of(vec![late, record("a", &[], 1, 0, 10)], Vec::new(), None).unwrap().graph();
        let mut arrivals: Vec<_> = graph.arrivals.iter().map(|one| (one.at_millis, one.priority, one.builds.clone())).collect();
        arrivals.sort();
        assert_eq!(arrivals, [(0, 0, vec![0]), (60_000, 7, vec![1])]);
    }

    #[test]
    fn only_builds_of_one_store_directory_are_replayed() {
        let guix = Record { store_dir: StoreDir::guix(), ..record("g", &[], 1, 0, 1) };
        let of = |store_dir: Option<StoreDir>| {
            History::of(vec![guix.clone(), record("n", &[], 1, 0, 1)], Vec::new(), store_dir.as_ref())
        };
        assert_eq!(of(None).unwrap().records, std::slice::from_ref(&guix));
        assert_eq!(of(Some(StoreDir::nix())).unwrap().records, [record("n", &[], 1, 0, 1)]);
        assert!(History::of(Vec::new(), Vec::new(), None).is_err());
    }
}
