//! What Drover's daemons have in common as processes: where they log, when they stop, how they end.
//!
//! It knows nothing of what they do.

use std::io::IsTerminal;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// What is logged: `info`, or `debug,async_nats=warn`, as `tracing-subscriber` reads it.
const LOG: &str = "DROVER_LOG";
/// Set by a parent that is to take its children with it: they stop when their standard input ends.
const EXIT_ON_STDIN_EOF: &str = "DROVER_EXIT_ON_STDIN_EOF";

/// Logs to standard error what `DROVER_LOG` lets pass; `info` where it says nothing. Colours only for a terminal.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_env(LOG).unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
}

/// Returns when the process is told to stop: by SIGINT or SIGTERM, or because its parent is gone.
pub async fn told_to_stop() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = parent_is_gone() => {}
            }
        }
        _ => parent_is_gone().await,
    }
}

/// Returns when standard input ends, if the parent wants that.
async fn parent_is_gone() {
    if std::env::var_os(EXIT_ON_STDIN_EOF).is_none() {
        return std::future::pending().await;
    }
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}

/// Says what went wrong, if anything did, and ends. A thread that still reads standard input, or a file, is not waited
/// for.
pub fn end(program: &str, result: anyhow::Result<()>) -> ! {
    let code = match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{program}: {error:#}");
            1
        }
    };
    std::process::exit(code)
}
