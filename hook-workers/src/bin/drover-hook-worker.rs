//! `drover-hook-worker`: one process of a pool. Start as many as there is work for, on as many machines.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use drover_bucket::Bucket;
use drover_hook_workers::publish::{self, Fence, Limits, Pool, Publisher};
use drover_nats::{Bus, NatsArgs};

/// Work on what happened in a Drover farm
#[derive(Parser)]
#[command(name = "drover-hook-worker", version)]
struct Cli {
    #[command(subcommand)]
    pool: PoolArgs,
}

#[derive(Subcommand)]
enum PoolArgs {
    /// Verify what agents and users uploaded, sign it, and put it into the cache
    Publish(PublishArgs),
}

#[derive(Args)]
struct PublishArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// The farm's bucket: file:///path, s3://bucket/prefix, gs://…, az://…
    #[arg(long, env = "DROVER_BUCKET", value_name = "URL")]
    bucket: String,
    /// A file with a key to sign with, as nix-store --generate-binary-cache-key makes it; may be given several times
    #[arg(long, env = "DROVER_SIGNING_KEY", value_name = "FILE", required = true, value_delimiter = ',')]
    signing_key: Vec<PathBuf>,
    /// How many requests to work on at once
    #[arg(long, env = "DROVER_CONCURRENCY", value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// The largest nar to take, in bytes
    #[arg(long, env = "DROVER_MAX_NAR_BYTES", value_name = "BYTES", default_value_t = 32 << 30)]
    max_nar_bytes: u64,
}

#[tokio::main]
async fn main() {
    let PoolArgs::Publish(args) = Cli::parse().pool;
    drover_process::log_to_stderr();
    drover_process::end("drover-hook-worker publish", run(args).await)
}

async fn run(args: PublishArgs) -> anyhow::Result<()> {
    let keys = publish::read_keys(&args.signing_key)?;
    let bucket = Bucket::open(&args.bucket)?;
    let fence = Fence::new(bucket.newest_generation().await?);
    let bus = Bus::connect(&args.nats.login("publish")?).await?;
    tracing::info!(bucket = args.bucket, keys = ?keys.iter().map(|key| key.name()).collect::<Vec<_>>(), "publishing");
    let publisher = Publisher::new(bucket, keys, Limits { max_nar_bytes: args.max_nar_bytes });
    publish::run(Pool { bus, publisher, fence, concurrency: args.concurrency.into() }, drover_process::told_to_stop()).await;
    Ok(())
}
