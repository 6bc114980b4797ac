//! Measures what the core takes of the heap while it does what `bench_core` measures the time of: `make bench-core`, or
//! `cargo run --release -p drover-scheduler-core --example bench_core_peak -- CORPUS`.

#[path = "../../../../store/tests/corpus/mod.rs"]
mod corpus;
#[path = "../bench_core/farm.rs"]
mod farm;
#[path = "../bench_core/graph.rs"]
mod graph;
#[path = "../bench_core/meter.rs"]
mod meter;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cap::Cap;
use farm::Farm;
use mimalloc::MiMalloc;

/// That of the scheduler, and how much it has given away.
#[global_allocator]
static ALLOCATOR: Cap<MiMalloc> = Cap::new(MiMalloc, usize::MAX);

/// The most that was taken after any input.
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

const MIB: f64 = (1 << 20) as f64;

fn main() {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from).or_else(graph::guix_large) else {
        return println!("SKIPPED: bench-core needs the corpus guix-large");
    };
    let graph = graph::read(&path);
    // The core takes over what was planned, so all of the heap is its own from here on.
    println!("{}: {graph}, {:.0} MiB planned", path.display(), ALLOCATOR.allocated() as f64 / MIB);
    let meter = Farm::new(note_what_is_taken).build(graph);
    println!("{} builds in {:.3} s, while this is counted", meter.builds, meter.elapsed().as_secs_f64());
    println!("result core_peak {:.0} MiB", PEAK_BYTES.load(Relaxed) as f64 / MIB);
}

fn note_what_is_taken() {
    PEAK_BYTES.fetch_max(ALLOCATOR.allocated(), Relaxed);
}
