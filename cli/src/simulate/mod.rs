//! `drover simulate`: how long a graph would take on a fleet, decided by the scheduler's own core, in virtual time.
//!
//! It reads, runs and tells; what a fleet does is for `farm`, what came of it for `outcome`. Where the graph comes from files it
//! needs no farm.

mod agenda;
mod bound;
mod dice;
mod durations;
mod farm;
mod fleet;
mod graph;
mod history;
mod ledger;
mod machine;
mod outcome;
mod plot;
mod recorded;
mod said;
mod set_up;
mod tar;
mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use drover_messages::agent::MAX_SLOTS;
use drover_messages::query::AskBuilds;
use drover_messages::{SubmissionId, Timestamp};
use drover_scheduler_core::{Order, Package, Took};
use drover_store::StoreDir;

use crate::ask::Connection;
use crate::build::roots;
use crate::exit::{Exit, bad_input};
use crate::farm::FarmArgs;
use crate::list::parse_time;
use bound::Bound;
use durations::Durations;
use farm::{Farm, Ground};
use fleet::Fleet;
use graph::Graph;
use history::History;
use ledger::Ledger;
use outcome::{Outcome, Report};

/// Simulate how a fleet would build a graph: the scheduler itself, against agents that exist in memory
///
/// Time is virtual. The same arguments give the same result. The graph comes from files by --graph, or from what a farm has
/// built by --from-farm: then it is also told what happened there, and how the same fleet would do by each order.
#[derive(Debug, clap::Args)]
#[command(override_usage = "drover simulate --graph PATH… --fleet FILE [OPTIONS]\n       \
    drover simulate --from-farm [--fleet FILE] [OPTIONS]")]
pub(crate) struct Args {
    /// What is to be built: a directory of .drv files or of packs, such as a bucket's `packs`, a .tar.zst of one, or a pack;
    /// several make one graph
    #[arg(long, value_name = "PATH", required_unless_present = "from_farm")]
    graph: Vec<PathBuf>,
    /// What a farm has built, as its scheduler has recorded it, with the times it took and the times at which it was asked for
    #[arg(long, conflicts_with_all = ["graph", "durations", "bench"])]
    from_farm: bool,
    /// Of a farm's records only this submission
    #[arg(long, value_name = "UUID", requires = "from_farm")]
    submission: Option<SubmissionId>,
    /// Of a farm's records only submissions with this tag; several mean all of them
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = roots::parse_tag, requires = "from_farm")]
    tags: Vec<(String, String)>,
    /// Of a farm's records only what was asked for then or later: 2026-01-31, 2026-01-31T12:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "from_farm")]
    from: Option<Timestamp>,
    /// Of a farm's records only what was asked for before
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "from_farm")]
    to: Option<Timestamp>,
    /// The agents, as TOML: `[[agents]]` with count, slots, speed, systems, features, fails_percent; see
    /// cli/fleets/uneven.toml. With --from-farm, another fleet than its own
    #[arg(long, value_name = "FILE", required_unless_present = "from_farm")]
    fleet: Option<PathBuf>,
    /// How long builds take at speed 1: lines `NAME SECONDS`, where NAME is a derivation's path or name or its name without
    /// versions (`gcc-*`), or what `drover list --json` printed: then only what is recorded there is built, and all else is
    /// there already
    #[arg(long, value_name = "FILE")]
    durations: Option<PathBuf>,
    /// Of what --durations does not say, and of failures, the times are drawn from this seed: a few seconds for most,
    /// hours for some
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The scheduler has built other versions of each package before, with times drawn apart from those of now; of a farm's
    /// records, it knows these. Without it, it learns as it goes
    #[arg(long)]
    known: bool,
    /// By which order builds get slots
    #[arg(long, value_enum, default_value_t = Orders::Both)]
    order: Orders,
    /// Builds that an agent may have waiting beyond its slots
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_SLOTS)))]
    beyond_slots: u32,
    /// Write what each slot did, for <https://ui.perfetto.dev>: of our order, if both are simulated, and on the other fleet, if
    /// one is given
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Draw the share of slots that build, over time, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// The result as JSON; times are in milliseconds. With --from-farm: own_fleet, other_fleet
    #[arg(long)]
    json: bool,
    /// The result as a benchmark prints it
    #[arg(long, hide = true, conflicts_with = "json")]
    bench: bool,
    /// The store directory; guessed from the derivations' own paths if not given
    #[arg(long, value_name = "DIR", env = "DROVER_STORE_DIR")]
    store_dir: Option<StoreDir>,
    #[command(flatten)]
    farm: FarmArgs,
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

/// What is built, wherever it comes from.
struct Plan {
    graph: Graph,
    /// What each build takes at speed 1, in milliseconds.
    millis: Vec<u64>,
    /// What a scheduler has learned that knows the packages.
    learned: BTreeMap<Package, Took>,
}

/// Runs it on a graph in files.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let fleet = args.fleet()?.ok_or_else(|| bad_input("on which fleet? Name it by --fleet"))?;
    let durations = match &args.durations {
        Some(file) => Durations::parse(&read(file)?).map_err(|why| bad_input(format!("{}: {why}", file.display())))?,
        None => Durations::default(),
    };
    let graph = Graph::read(&args.graph, args.store_dir.as_ref(), &durations)?;
    let (millis, learned) = (durations.of(&graph, args.seed), durations.learned(&graph, args.seed));
    let plan = Plan { millis, learned, graph };
    let (report, ledgers) = args.simulate(&plan, &fleet, None)?;
    args.draw(&plan, &fleet, &report, &ledgers)?;
    match (args.json, args.bench) {
        (true, _) => println!("{}", serde_json::to_string_pretty(&report)?),
        (_, true) => print!("{}", report.bench_lines()),
        _ => print!("{report}"),
    }
    Ok(Exit::Success.into())
}

/// Runs it on what a farm has built.
pub(crate) async fn replay(args: &Args) -> anyhow::Result<ExitCode> {
    let other = args.fleet()?;
    let (submission, from, to) = (args.submission, args.from, args.to);
    let which = AskBuilds { submission, from, to, tags: roots::tags(&args.tags)?, ..AskBuilds::default() };
    let connection = Connection::open(&args.farm).await?;
    let history = History::read(&connection, which, args.store_dir.as_ref()).await?;
    let (graph, millis, own) = (history.graph(), history.millis(), recorded::fleet(&history));
    let plan = Plan { learned: recorded::learned(&graph, &millis), graph, millis };
    let recorded = recorded::ledger(&history, &plan.graph);
    let (own_report, ledgers) = args.simulate(&plan, &own, Some(recorded))?;
    let other_report = match &other {
        Some(fleet) => {
            let (report, ledgers) = args.simulate(&plan, fleet, None)?;
            args.draw(&plan, fleet, &report, &ledgers)?;
            Some(report)
        }
        None => args.draw(&plan, &own, &own_report, &ledgers).map(|()| None)?,
    };
    if args.json {
        let both = serde_json::json!({ "own_fleet": own_report, "other_fleet": other_report });
        println!("{}", serde_json::to_string_pretty(&both)?);
        return Ok(Exit::Success.into());
    }
    print!("The farm's own fleet: {own_report}");
    if let Some(report) = other_report {
        print!("\nThe other fleet: {report}");
    }
    Ok(Exit::Success.into())
}

impl Args {
    /// Whether it takes a farm.
    pub(crate) fn is_from_farm(&self) -> bool {
        self.from_farm
    }

    fn fleet(&self) -> anyhow::Result<Option<Fleet>> {
        let Some(file) = &self.fleet else { return Ok(None) };
        let fleet = Fleet::parse(&read(file)?).map_err(|why| bad_input(format!("{}: {why}", file.display())))?;
        Ok(Some(fleet))
    }

    /// One run for each order, behind what was recorded.
    fn simulate(&self, plan: &Plan, fleet: &Fleet, recorded: Option<Ledger>) -> anyhow::Result<(Report, Vec<Ledger>)> {
        let ground = Ground { graph: &plan.graph, fleet, millis: &plan.millis, learned: &plan.learned, seed: self.seed };
        let bound = Bound::of(&plan.graph, fleet, &plan.millis);
        let mut ledgers: Vec<Ledger> = recorded.into_iter().collect();
        for (of, order, known) in self.runs() {
            let ledger = Farm::new(&ground, order, self.beyond_slots, known)?.run()?;
            ledgers.push(Ledger { of, ..ledger });
        }
        let runs = ledgers.iter().map(|ledger| Outcome::of(ledger, fleet, &bound)).collect();
        Ok((Report::new(&plan.graph, fleet, bound, runs), ledgers))
    }

    /// What is simulated: by what name, in which order, and whether packages are known. A benchmark of known packages says
    /// what it comes to without.
    fn runs(&self) -> Vec<(&'static str, Order, bool)> {
        let mut runs: Vec<_> = self.order.each().iter().map(|order| (outcome::word(*order), *order, self.known)).collect();
        if self.bench && self.known {
            runs.push((outcome::COLD, Order::Full, false));
        }
        runs
    }

    /// Writes the pictures that were asked for.
    fn draw(&self, plan: &Plan, fleet: &Fleet, report: &Report, ledgers: &[Ledger]) -> anyhow::Result<()> {
        let simulated = ledgers.iter().find(|ledger| ledger.of != recorded::RECORDED);
        if let (Some(file), Some(ledger)) = (&self.trace, simulated) {
            write(file, &trace::json(ledger, &plan.graph, fleet))?;
        }
        match &self.plot {
            Some(file) => write(file, &plot::svg(ledgers, fleet, &report.bound)),
            None => Ok(()),
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).map_err(|e| bad_input(format!("cannot read {}: {e}", file.display())))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).map_err(|e| bad_input(format!("cannot write {}: {e}", file.display())))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::*;

    #[test]
    fn no_agent_has_more_waiting_than_slots_at_most() {
        let parsed = |n: &str| {
            let words = ["simulate", "--graph", "g", "--fleet", "f", "--beyond-slots", n];
            Args::augment_args(Command::new("simulate")).try_get_matches_from(words)
        };
        assert!(parsed("0").is_ok() && parsed("1024").is_ok());
        assert_eq!(parsed("4294967295").unwrap_err().exit_code(), 2);
    }
}
