//! What the scheduler's whole way costs: a real nats-server, a real scheduler with its database and a folder as its bucket,
//! and, in processes of their own, agents and a pool `publish` that speak the real messages and do nothing else. Ends in lines
//! `result NAME VALUE UNIT`; docs/benchmarks.md says what they mean. It fails where a single build is not built, published and
//! settled.
//!
//! It knows nothing of store daemons, nars and keys: those are measured by `bench`.

#[path = "../../../../store/tests/corpus/mod.rs"]
mod corpus;

mod events;
mod graph;
mod meter;
mod percent;
mod shape;
mod submit;

mod agents;
mod publish;

mod children;
mod ground;
mod measure;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// Simulated agents stand for as many machines, and share the processors of the farm that is measured: they are to take little.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measure what a farm of simulated agents gets through
#[derive(Debug, Parser)]
#[command(name = "bench_farm")]
struct Args {
    /// Simulated agents
    #[arg(long, default_value_t = 300, value_name = "N")]
    agents: usize,
    /// Slots of each
    #[arg(long, default_value_t = 4, value_name = "N")]
    slots: u32,
    /// Processes that the agents are spread over
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    processes: u64,
    /// What is built: `guix-large` of $DROVER_CORPORA, a path to such an archive, or `N`: N derivations of Guix's shape
    #[arg(long, default_value = "guix-large", value_name = "GRAPH")]
    graph: String,
    /// With `queued`: so many builds that nobody takes
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    queued: usize,
    /// Agents that idle
    #[arg(long, default_value_t = 500, value_name = "N")]
    idle: usize,
    /// Builds a second that are offered while the latency of offers is measured [default: half of the measured rate]
    #[arg(long, value_name = "N")]
    offered: Option<f64>,
    /// How long latencies, and idling, are measured each
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    secs: u64,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All of the following but `queued` [default]
    All,
    /// From the submission of the graph to its last event
    Rate,
    /// From a ready slot to an accepted offer, at half the rate, and while the graph is taken up
    Offers,
    /// What the scheduler needs while agents beat and do nothing else
    Idle,
    /// What it needs for very many builds, and how soon it answers after a kill
    Queued,
    /// The simulated agents (started by the above)
    #[command(hide = true)]
    Agents(agents::Args),
    /// The simulated pool (started by the above)
    #[command(hide = true)]
    Publish(publish::Args),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let one_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    match args.what {
        Some(What::Agents(args)) => one_thread()?.block_on(agents::run(args)),
        Some(What::Publish(args)) => one_thread()?.block_on(publish::run(args)),
        _ => one_thread()?.block_on(measure::run(args)),
    }
}

/// The graph that `--graph` names; `None`, said aloud, where it is not there.
fn graph(named: &str) -> Option<graph::Graph> {
    if let Ok(derivations) = named.parse() {
        return Some(shape::like_guix(derivations, 0));
    }
    let path = if named == "guix-large" {
        corpus::all().into_iter().find(|path| path.ends_with("guix-large.tar.zst"))
    } else {
        Some(PathBuf::from(named))
    };
    let path = path.filter(|path| path.exists());
    if path.is_none() {
        println!("SKIPPED: there is no graph {named}");
    }
    path.map(|path| graph::Graph::of(corpus::read(&path)))
}
