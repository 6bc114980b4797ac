//! Measures the core alone: a graph of real derivations from empty state to the end, through beat, offer, accept, built,
//! uploaded and available: `make bench-core`, or
//! `cargo run --release -p drover-scheduler-core --example bench_core -- CORPUS [--by-input]`.
//!
//! Reading and planning the graph are not measured; entering it is. There are no clocks and no queues: whatever the core
//! asks for is done at once, so that its own time is measured, and that of making inputs for it. What it takes of the heap
//! is counted by `bench_core_peak`, for counting takes time.

#[path = "../../../../store/tests/corpus/mod.rs"]
mod corpus;
mod farm;
mod graph;
mod meter;

use std::path::PathBuf;

use farm::Farm;
use meter::Meter;
use mimalloc::MiMalloc;

/// That of the scheduler.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The graph is built from nothing so many times; the fastest run counts.
const RUNS: usize = 3;

fn main() {
    let (flags, given): (Vec<_>, Vec<_>) = std::env::args_os().skip(1).partition(|arg| arg == "--by-input");
    let Some(path) = given.into_iter().map(PathBuf::from).next().or_else(graph::guix_large) else {
        return println!("SKIPPED: bench-core needs the corpus guix-large");
    };
    let mut best: Option<Meter> = None;
    for run in 1..=RUNS {
        let graph = graph::read(&path);
        if run == 1 {
            println!("{}: {graph}", path.display());
        }
        let meter = Farm::new(|| {}).build(graph);
        println!("run {run}: {:.3} s", meter.elapsed().as_secs_f64());
        if best.as_ref().is_none_or(|best| meter.elapsed() < best.elapsed()) {
            best = Some(meter);
        }
    }
    let Some(best) = best else { return };
    if !flags.is_empty() {
        print!("{best}");
    }
    println!("result core_rate {:.0} builds/s", best.builds as f64 / best.elapsed().as_secs_f64());
}
