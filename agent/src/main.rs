//! The agent's process: arguments, signals, and the rest is [`drover_agent::run`].

use clap::Parser;
use drover_agent::Args;

#[tokio::main]
async fn main() {
    drover_process::end("drover-agent", run(Args::parse()).await)
}

async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.config()?;
    drover_process::log_to_stderr();
    tracing::info!(agent = %config.agent, name = config.name, store = %config.store_dir, "agent {}", env!("CARGO_PKG_VERSION"));
    Ok(drover_agent::run(config, drover_process::told_to_stop()).await?)
}
