//! `drover-scheduler`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Parser;
use drover_scheduler::args::Args;
use drover_scheduler::run;
use mimalloc::MiMalloc;

/// A farm makes and drops many small things, in several threads, and keeps what it has for long.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long the allocator keeps what was freed, in milliseconds. With its own second there is a sixth more at most, to no use.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "10");

#[tokio::main]
async fn main() {
    let args = Args::parse().checked().unwrap_or_else(|error| error.exit());
    tell_allocator();
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

/// The allocator looks at the environment before anything of ours runs, and knows no other way without `unsafe`: so this process
/// starts over in place. Where it cannot, it goes on as it is.
fn tell_allocator() {
    let (name, value) = PURGE_DELAY;
    if std::env::var_os(name).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut arguments = std::env::args_os();
        let mut again = Command::new(program);
        arguments.next().map(|own_name| again.arg0(own_name));
        let _ = again.args(arguments).env(name, value).exec();
    }
}
