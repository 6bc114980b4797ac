//! `drover-cache`: a substitute server in front of the bucket. It needs to read below `cache/` there, and nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use drover_bucket::Bucket;
use drover_hook_workers::cache;
use drover_store::PublicKey;

/// Serve what a Drover farm has built, over HTTP
#[derive(Parser)]
#[command(name = "drover-cache", version)]
struct Args {
    /// The farm's bucket: file:///path, s3://bucket/prefix, gs://…, az://…
    #[arg(long, env = "DROVER_BUCKET", value_name = "URL")]
    bucket: String,
    /// Where to listen; port 0 takes any that is free
    #[arg(long, env = "DROVER_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Write the address that was taken into this file, once the server answers there
    #[arg(long, env = "DROVER_PORT_FILE", value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// The farm's public key, to be shown to people: NAME:BASE64; may be given several times
    #[arg(long, env = "DROVER_PUBLIC_KEY", value_name = "KEY", value_delimiter = ' ')]
    public_key: Vec<PublicKey>,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    drover_process::log_to_stderr();
    drover_process::end("drover-cache", run(args).await)
}

async fn run(args: Args) -> anyhow::Result<()> {
    let router = cache::router(Bucket::open(&args.bucket)?, &args.public_key);
    let listener = cache::listen(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    if let Some(path) = &args.port_file {
        cache::write_port_file(path, address).with_context(|| format!("cannot write {}", path.display()))?;
    }
    tracing::info!(%address, bucket = args.bucket, "serving");
    Ok(cache::run(listener, router, drover_process::told_to_stop()).await?)
}
