//! `drover-hook-worker`: one process of a pool. Start as many as there is work for, on as many machines.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use drover_bucket::{Bucket, Compression};
use drover_hook_workers::publish::{self, Fence, Keys, Limits, Packing, Pool, Publisher};
use drover_hook_workers::substitutes::{self, Lookup};
use drover_nats::{Bus, NatsArgs};
use drover_store::{Family, PublicKey, StoreDir};
use drover_substituter::{ServerUrl, Trust};

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
    /// Say what substitute servers beyond the farm's own have, so that it is not built again
    Substitutes(SubstitutesArgs),
}

#[derive(Args)]
struct PublishArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// The farm's bucket: file:///path, s3://bucket/prefix, gs://…, az://…
    #[arg(long, env = "DROVER_BUCKET", value_name = "URL")]
    bucket: String,
    /// A file with a key to sign with, of Nix's or Guix's kind, as drover key generate, nix-store
    /// --generate-binary-cache-key and guix archive --generate-key make them; may be given several times
    #[arg(long, env = "DROVER_SIGNING_KEY", value_name = "FILE", required = true, value_delimiter = ',')]
    signing_key: Vec<PathBuf>,
    /// How nars are compressed for the world: zstd, lzip, gzip, none; Guix gets them all, Nix the first
    #[arg(long, env = "DROVER_COMPRESSION", value_name = "WAY", value_delimiter = ',', default_value = "zstd", value_parser = Packing::parse)]
    compression: Vec<Compression>,
    /// One more store whose cache is there from the start, so that agents can try it; may be given several times. The usual
    /// stores of the keys' kinds are so anyway
    #[arg(long, env = "DROVER_STORE_DIR", value_name = "DIR", value_delimiter = ',')]
    store_dir: Vec<StoreDir>,
    /// Serve the derivations of what is published as well, with all that they stand on
    #[arg(long, env = "DROVER_SERVE_DERIVATIONS")]
    serve_derivations: bool,
    /// How many requests to work on at once
    #[arg(long, env = "DROVER_CONCURRENCY", value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// The largest nar to take, in bytes
    #[arg(long, env = "DROVER_MAX_NAR_BYTES", value_name = "BYTES", default_value_t = 32 << 30)]
    max_nar_bytes: u64,
}

#[derive(Args)]
struct SubstitutesArgs {
    #[command(flatten)]
    nats: NatsArgs,
    /// A substitute server to ask: https://, http:// or file://; may be given several times
    #[arg(long, env = "DROVER_SUBSTITUTE_URL", value_name = "URL", required = true, value_delimiter = ' ')]
    substitute_url: Vec<ServerUrl>,
    /// A key that Nix substitutes count by: NAME:BASE64; may be given several times
    #[arg(long, env = "DROVER_TRUSTED_PUBLIC_KEY", value_name = "KEY", value_delimiter = ' ')]
    trusted_public_key: Vec<PublicKey>,
    /// A file with a key that Guix substitutes count by, such as a server's signing-key.pub; may be given several times
    #[arg(long, env = "DROVER_GUIX_PUBLIC_KEY", value_name = "FILE", value_delimiter = ',')]
    guix_public_key: Vec<PathBuf>,
    /// A list of such keys, such as /etc/guix/acl; may be given several times
    #[arg(long, env = "DROVER_GUIX_ACL", value_name = "FILE", value_delimiter = ',')]
    guix_acl: Vec<PathBuf>,
    /// How many questions to answer at once, of up to 500 items each
    #[arg(long, env = "DROVER_CONCURRENCY", value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
}

#[tokio::main]
async fn main() {
    let pool = Cli::parse().pool;
    drover_process::log_to_stderr();
    match pool {
        PoolArgs::Publish(args) => drover_process::end("drover-hook-worker publish", publish(args).await),
        PoolArgs::Substitutes(args) => drover_process::end("drover-hook-worker substitutes", substitutes(args).await),
    }
}

async fn publish(args: PublishArgs) -> anyhow::Result<()> {
    let keys = Keys::read(&args.signing_key)?;
    let bucket = Bucket::open(&args.bucket)?;
    let fence = Fence::new(bucket.newest_generation().await?);
    let bus = Bus::connect(&args.nats.login("publish")?).await?;
    let usual = keys.families().map(|family| match family {
        Family::Nix => StoreDir::nix(),
        Family::Guix => StoreDir::guix(),
    });
    let stores: Vec<StoreDir> = usual.chain(args.store_dir).collect();
    for store in &stores {
        keys.public(store)?;
    }
    tracing::info!(bucket = args.bucket, ?keys, "publishing");
    let limits = Limits { max_nar_bytes: args.max_nar_bytes };
    let publisher = Publisher::new(bucket, keys, Packing::new(args.compression), limits);
    let (concurrency, serve_derivations) = (args.concurrency.into(), args.serve_derivations);
    let pool = Pool { bus, publisher, fence, concurrency, stores, serve_derivations };
    publish::run(pool, drover_process::told_to_stop()).await;
    Ok(())
}

async fn substitutes(args: SubstitutesArgs) -> anyhow::Result<()> {
    let guix_keys = substitutes::read_guix_keys(&args.guix_acl, &args.guix_public_key)?;
    let trust = Trust::nobody().and_nix(args.trusted_public_key).and_guix(guix_keys);
    let lookup = Lookup::new(args.substitute_url, trust)?;
    let bus = Bus::connect(&args.nats.login("substitutes")?).await?;
    Ok(substitutes::run(&bus, lookup, args.concurrency.into(), drover_process::told_to_stop()).await?)
}
