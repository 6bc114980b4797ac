//! `drover simulate`: how long a graph would take on a fleet, decided by the scheduler's own core, in virtual time.
//!
//! It reads, runs and tells; what a fleet does is for `farm`, what came of it for `outcome`. It needs no farm.

mod agenda;
mod bound;
mod dice;
mod durations;
mod farm;
mod fleet;
mod graph;
mod ledger;
mod machine;
mod outcome;
mod plot;
mod said;
mod set_up;
mod tar;
mod trace;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use drover_scheduler_core::Order;
use drover_store::StoreDir;

use crate::exit::{Exit, bad_input};
use bound::Bound;
use durations::Durations;
use farm::{Farm, Ground};
use fleet::Fleet;
use graph::Graph;
use ledger::Ledger;
use outcome::{Outcome, Report};

/// Simulate how a fleet would build a graph: the scheduler itself, against agents that exist in memory
///
/// Time is virtual. The same arguments give the same result.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is to be built: a directory of .drv files or of packs, such as a bucket's `packs`, a .tar.zst of one, or a pack;
    /// several make one graph
    #[arg(long, value_name = "PATH", required = true)]
    graph: Vec<PathBuf>,
    /// The agents, as TOML: `[[agents]]` with count, slots, speed, systems, features, fails_percent; see
    /// cli/fleets/uneven.toml
    #[arg(long, value_name = "FILE")]
    fleet: PathBuf,
    /// How long builds take at speed 1: lines `NAME SECONDS`, where NAME is a derivation's path or name or its name without
    /// versions (`gcc-*`), or what `drover list --json` printed: then only what is recorded there is built, and all else is
    /// there already
    #[arg(long, value_name = "FILE")]
    durations: Option<PathBuf>,
    /// Of what --durations does not say, and of failures, the times are drawn from this seed: a few seconds for most,
    /// hours for some
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The scheduler has learned the durations before, by package; without it, it learns as it goes
    #[arg(long)]
    known: bool,
    /// By which order builds get slots
    #[arg(long, value_enum, default_value_t = Orders::Both)]
    order: Orders,
    /// Builds that an agent may have waiting beyond its slots
    #[arg(long, value_name = "N", default_value_t = 1)]
    beyond_slots: u32,
    /// Write what each slot did, for <https://ui.perfetto.dev>; of our order, if both are simulated
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Draw the share of slots that build, over time, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The result as JSON; times are in milliseconds
    #[arg(long)]
    json: bool,
    /// The result as a benchmark prints it
    #[arg(long, hide = true, conflicts_with = "json")]
    bench: bool,
    /// The store directory; guessed from the derivations' own paths if not given
    #[arg(long, value_name = "DIR", env = "DROVER_STORE_DIR")]
    store_dir: Option<StoreDir>,
}

/// Which orders are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Orders {
    /// The scheduler's: priority, longest path, fair share, age
    Ours,
    /// By age alone
    Fifo,
    /// One after the other, to compare them
    Both,
}

impl Orders {
    fn each(self) -> &'static [Order] {
        match self {
            Self::Ours => &[Order::Full],
            Self::Fifo => &[Order::FirstComeFirst],
            Self::Both => &[Order::Full, Order::FirstComeFirst],
        }
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::parse(&read(&args.fleet)?).map_err(|why| bad_input(format!("{}: {why}", args.fleet.display())))?;
    let durations = match &args.durations {
        Some(file) => Durations::parse(&read(file)?).map_err(|why| bad_input(format!("{}: {why}", file.display())))?,
        None => Durations::default(),
    };
    let graph = Graph::read(&args.graph, args.store_dir.as_ref(), &durations)?;
    let millis = durations.of(&graph, args.seed);
    let ground = Ground { graph: &graph, fleet: &fleet, millis: &millis, seed: args.seed };
    let bound = Bound::of(&graph, &fleet, &millis);
    let mut ledgers: Vec<Ledger> = Vec::new();
    for order in args.order.each() {
        ledgers.push(Farm::new(&ground, *order, args.beyond_slots, args.known)?.run()?);
    }
    let runs = ledgers.iter().map(|ledger| Outcome::of(ledger, &fleet, &bound)).collect();
    let report = Report::new(&graph, &fleet, bound, runs);
    if let (Some(file), Some(ledger)) = (&args.trace, ledgers.first()) {
        write(file, &trace::json(ledger, &graph, &fleet))?;
    }
    if let Some(file) = &args.plot {
        write(file, &plot::svg(&ledgers, &fleet, &report.bound))?;
    }
    match (args.json, args.bench) {
        (true, _) => println!("{}", serde_json::to_string_pretty(&report)?),
        (_, true) => print!("{}", report.bench_lines()),
        _ => print!("{report}"),
    }
    Ok(Exit::Success.into())
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).map_err(|e| bad_input(format!("cannot read {}: {e}", file.display())))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).map_err(|e| bad_input(format!("cannot write {}: {e}", file.display())))
}
