//! What happened in a simulation: who built what when, and how long what was ready had waited.

/// One build in one slot. Times are in milliseconds since the submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Which agent, by its place in the fleet.
    pub(super) agent: usize,
    /// Which of its slots.
    pub(super) slot: usize,
    /// Which build, by its place in the graph.
    pub(super) build: usize,
    /// When it began.
    pub(super) from: u64,
    /// When it ended.
    pub(super) to: u64,
    /// Whether the machine failed it.
    pub(super) failed: bool,
}

/// A whole run.
#[derive(Debug)]
pub(super) struct Ledger {
    /// What it is of: an order, or the farm's records.
    pub(super) of: &'static str,
    /// In order of their ends.
    pub(super) spans: Vec<Span>,
    /// For each build, from when all its inputs could be fetched until it began for good; what could begin before that,
    /// where they were built, has not waited. In milliseconds.
    pub(super) waits: Vec<u64>,
    /// When the last output could be fetched, in milliseconds.
    pub(super) makespan: u64,
}

impl Ledger {
    /// Nothing has happened.
    pub(super) fn new(of: &'static str) -> Self {
        Self { of, spans: Vec::new(), waits: Vec::new(), makespan: 0 }
    }

    /// Milliseconds that slots were taken, summed.
    pub(super) fn busy(&self) -> u64 {
        self.spans.iter().map(|span| span.to - span.from).sum()
    }
}
