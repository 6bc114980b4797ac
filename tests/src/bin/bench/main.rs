//! What Drover costs over what it drives, each measured beside its yardstick in one run and in turn, so that a noisy
//! machine is noisy for all. Ends in lines `result NAME VALUE UNIT`; docs/benchmarks.md says what they mean.

mod rounds;

mod graph;
mod guix;
mod nar_path;

use clap::{Parser, ValueEnum};

/// Measure what the farm costs
#[derive(Parser)]
struct Args {
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What to measure [default: everything]
    #[arg(value_enum)]
    what: Vec<What>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The way of an output from the store to the bucket
    NarPath,
    /// A graph on Nix
    Graph,
    /// Derivations on Guix
    Guix,
}

#[tokio::main]
async fn main() {
    let Args { rounds, what } = Args::parse();
    let is_wanted = |thing| what.is_empty() || what.contains(&thing);
    let mut results = Vec::new();
    if is_wanted(What::NarPath) {
        results.extend(nar_path::measure(rounds).await);
    }
    if is_wanted(What::Graph) {
        results.extend(graph::measure(rounds).await);
    }
    if is_wanted(What::Guix) {
        results.extend(guix::measure(rounds).await);
    }
    for result in results {
        println!("{result}");
    }
}
