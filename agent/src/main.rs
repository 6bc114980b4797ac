//! The agent's process: arguments, signals, and the rest is [`drover_agent::run`].

use std::io::IsTerminal;

use anyhow::Context;
use clap::Parser;
use drover_agent::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Set by a parent that is to take its children with it: the agent stops when its standard input ends.
const EXIT_ON_STDIN_EOF: &str = "DROVER_EXIT_ON_STDIN_EOF";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Args::parse().config()?;
    let filter = EnvFilter::try_from_env("DROVER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    tracing::info!(agent = %config.agent, name = config.name, store = %config.store_dir, "agent {}", env!("CARGO_PKG_VERSION"));
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = parent_is_gone() => {}
        }
    };
    drover_agent::run(config, shutdown).await?;
    // A thread that reads standard input or dumps an item is not waited for.
    std::process::exit(0)
}

/// Ends when standard input does, if the parent wants that.
async fn parent_is_gone() {
    if std::env::var_os(EXIT_ON_STDIN_EOF).is_none() {
        return std::future::pending().await;
    }
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}
