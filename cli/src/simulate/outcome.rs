//! What came of it, in numbers: for people, as JSON, and as benchmarks print it.

use std::fmt;

use drover_scheduler_core::Order;
use serde::Serialize;

use super::bound::Bound;
use super::fleet::Fleet;
use super::graph::Graph;
use super::ledger::Ledger;
use crate::human;
use crate::table::Table;

/// One run. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Outcome {
    /// `ours`, `fifo`, or `recorded`: what happened.
    pub(super) order: &'static str,
    /// Until the last output could be fetched.
    pub(super) makespan_millis: u64,
    /// The makespan over the lower bound.
    pub(super) over_bound: f64,
    /// The share of the slots' time that was spent building.
    pub(super) utilisation: f64,
    /// How long builds waited that could begin.
    pub(super) wait_mean_millis: u64,
    /// Half of them no longer than this.
    pub(super) wait_p50_millis: u64,
    /// All but a hundredth of them no longer than this.
    pub(super) wait_p99_millis: u64,
    /// Builds that machines failed, which were tried again.
    pub(super) failures: usize,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    builds: usize,
    agents: usize,
    slots: u64,
    /// What cannot be beaten.
    #[serde(flatten)]
    pub(super) bound: Bound,
    runs: Vec<Outcome>,
}

/// A run by our order that knows no package, beside one that does.
pub(super) const COLD: &str = "cold";

/// What the results of a benchmark are of.
const BENCH_SAYS: &str = "makespan over the lower bound, where the scheduler has built other versions of each package before, \
    but not on these agents; makespan_cold: where it has built nothing before\n";

/// An order in a word.
pub(super) fn word(order: Order) -> &'static str {
    match order {
        Order::Full => "ours",
        Order::FirstComeFirst => "fifo",
    }
}

impl Outcome {
    /// Of one run.
    pub(super) fn of(ledger: &Ledger, fleet: &Fleet, bound: &Bound) -> Self {
        let mut waits = ledger.waits.clone();
        waits.sort_unstable();
        let at = |share: usize| waits.get((waits.len() * share / 100).min(waits.len().saturating_sub(1))).copied().unwrap_or(0);
        let makespan = ledger.makespan.max(1);
        Self {
            order: ledger.of,
            makespan_millis: ledger.makespan,
            over_bound: makespan as f64 / bound.millis().max(1) as f64,
            utilisation: ledger.busy() as f64 / (makespan * fleet.slots()) as f64,
            wait_mean_millis: waits.iter().sum::<u64>() / waits.len().max(1) as u64,
            wait_p50_millis: at(50),
            wait_p99_millis: at(99),
            failures: ledger.spans.iter().filter(|span| span.failed).count(),
        }
    }
}

impl Report {
    /// Of these runs.
    pub(super) fn new(graph: &Graph, fleet: &Fleet, bound: Bound, runs: Vec<Outcome>) -> Self {
        Self { builds: graph.builds.len(), agents: fleet.agents().count(), slots: fleet.slots(), bound, runs }
    }

    /// As `make bench-makespan` prints it.
    pub(super) fn bench_lines(&self) -> String {
        let name = |run: &Outcome| match run.order {
            "ours" => "makespan",
            COLD => "makespan_cold",
            _ => "makespan_fifo",
        };
        let results = self.runs.iter().map(|run| format!("result {} {:.3} x\n", name(run), run.over_bound));
        std::iter::once(BENCH_SAYS.to_owned()).chain(results).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (builds, agents) = (human::count(self.builds as u64, "build"), human::count(self.agents as u64, "agent"));
        writeln!(f, "{builds} on {agents} with {}", human::count(self.slots, "slot"))?;
        let (path, work) = (self.bound.longest_path_millis, self.bound.work_over_slots_millis);
        let (path, work) = (human::duration(path), human::duration(work));
        let bound = human::duration(self.bound.millis());
        writeln!(f, "not faster than {bound}: the longest path takes {path}, all work over all slots {work}\n")?;
        let mut table = Table::new(&["ORDER", "MAKESPAN", "OVER BOUND", "SLOTS BUSY", "WAIT MEAN", "P50", "P99", "FAILURES"]);
        for run in &self.runs {
            table.row([
                run.order.to_owned(),
                human::duration(run.makespan_millis),
                format!("{:.3} x", run.over_bound),
                format!("{:.1} %", run.utilisation * 100.0),
                human::duration(run.wait_mean_millis),
                human::duration(run.wait_p50_millis),
                human::duration(run.wait_p99_millis),
                run.failures.to_string(),
            ]);
        }
        write!(f, "{table}")
    }
}
