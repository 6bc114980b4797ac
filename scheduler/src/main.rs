//! `drover-scheduler`.

use clap::Parser;
use drover_scheduler::args::Args;
use drover_scheduler::run;
use mimalloc::MiMalloc;

/// A farm makes and drops many small things, in several threads, and keeps what it has for long.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() {
    let args = Args::parse();
    // They would take a sixth more, much of it unused, and make nothing faster. Where they cannot be refused, that is so.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
    drover_process::log_to_stderr();
    drover_process::end("drover-scheduler", serve(args).await)
}

async fn serve(args: Args) -> anyhow::Result<()> {
    tokio::select! {
        ended = run::run(args) => ended,
        () = drover_process::told_to_stop() => Ok(()),
    }
}
