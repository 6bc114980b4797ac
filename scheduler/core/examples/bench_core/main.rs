//! Measures the core alone: a graph of real derivations from empty state to the end, through beat, offer, accept, built,
//! uploaded and available: `make bench-core`, or
//! `cargo run --release -p drover-scheduler-core --example bench_core -- CORPUS [--by-input]`.
//!
//! Reading and planning the graph are not measured; entering it is. There are no clocks and no queues: whatever the core
//! asks for is done at once, so that its own time is measured, and that of making inputs for it.

#[path = "../../../../store/tests/corpus/mod.rs"]
mod corpus;
mod farm;
mod graph;
mod meter;

use std::path::PathBuf;

use cap::Cap;
use farm::Farm;
use meter::Meter;
use mimalloc::MiMalloc;

/// That of the scheduler, and how much it has given away.
#[global_allocator]
static ALLOCATOR: Cap<MiMalloc> = Cap::new(MiMalloc, usize::MAX);

/// The graph is built from nothing so many times; the fastest run counts, and the highest peak.
const RUNS: usize = 3;
const MIB: f64 = (1 << 20) as f64;

fn main() {
    let (flags, given): (Vec<_>, Vec<_>) = std::env::args_os().skip(1).partition(|arg| arg == "--by-input");
    let Some(path) = given.into_iter().map(PathBuf::from).next().or_else(guix_large) else {
        return println!("SKIPPED: bench-core needs the corpus guix-large");
    };
    let mut best: Option<Meter> = None;
    let mut peak: f64 = 0.0;
    for run in 1..=RUNS {
        let graph = graph::read(&path);
        if run == 1 {
            println!("{}: {graph}", path.display());
        }
        // The core takes over what was planned, so all of the heap is its own from here on.
        let planned = ALLOCATOR.allocated() as f64 / MIB;
        let meter = Farm::new().build(graph);
        let run_peak = meter.peak_bytes() as f64 / MIB;
        println!("run {run}: {:.3} s, {planned:.0} MiB planned, {run_peak:.0} MiB at most", meter.elapsed().as_secs_f64());
        peak = peak.max(run_peak);
        if best.as_ref().is_none_or(|best| meter.elapsed() < best.elapsed()) {
            best = Some(meter);
        }
    }
    let Some(best) = best else { return };
    if !flags.is_empty() {
        print!("{best}");
    }
    println!("result core_rate {:.0} builds/s", best.builds as f64 / best.elapsed().as_secs_f64());
    println!("result core_peak {peak:.0} MiB");
}

fn guix_large() -> Option<PathBuf> {
    corpus::all().into_iter().find(|path| path.ends_with("guix-large.tar.zst"))
}
