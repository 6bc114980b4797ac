//! What the scheduler can be told at its start.

use std::path::PathBuf;

use drover_nats::{NatsArgs, Pool};
use drover_scheduler_core::Limits;

/// Decide what to build next, and where. One runs in a farm; a second that starts takes over.
#[derive(Debug, clap::Parser)]
#[command(name = "drover-scheduler", version)]
pub struct Args {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub nats: NatsArgs,
    /// The farm's bucket: file:///PATH, s3://BUCKET/PREFIX, gs://…, az://…
    #[arg(long, env = "DROVER_BUCKET", value_name = "URL")]
    pub bucket: String,
    /// Where the state is kept
    #[arg(long, env = "DROVER_SCHEDULER_STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,
    /// The folder with the logins that nats-server's configuration includes; without it, none can be made here
    #[arg(long, env = "DROVER_LOGINS", value_name = "DIR")]
    pub logins: Option<PathBuf>,
    /// The password of the login `system`, with which nats-server is made to read changed logins; without it, reload it by hand
    #[arg(long, env = "DROVER_SYSTEM_PASSWORD_FILE", value_name = "FILE", requires = "logins")]
    pub system_password_file: Option<PathBuf>,
    /// A file to write once the farm is served
    #[arg(long, env = "DROVER_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// A hook pool that reads events; may be repeated
    #[arg(long = "hook-pool", env = "DROVER_HOOK_POOLS", value_delimiter = ',', value_name = "NAME")]
    pub hook_pools: Vec<Pool>,
    /// Ask the pool `substitutes` what other servers have, before anything is planned to be built
    #[arg(long, env = "DROVER_ASK_SUBSTITUTES")]
    pub ask_substitutes: bool,
    /// Forget builds so many days after they were asked for, once they are finished; by default they are kept
    #[arg(long, env = "DROVER_KEEP_DAYS", value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..))]
    pub keep_days: Option<u64>,
    /// Where `drover admin snapshot` has the state copied to [default: snapshots, in the state's folder]
    #[arg(long, env = "DROVER_SNAPSHOTS", value_name = "DIR")]
    pub snapshots: Option<PathBuf>,
    /// How many such copies are kept; the oldest go
    #[arg(long, env = "DROVER_SNAPSHOTS_KEPT", default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub snapshots_kept: u16,
    /// The most unfinished builds of one client; a submission that would make it more is refused [default: no limit]
    #[arg(long, env = "DROVER_BUILDS_PER_CLIENT", value_name = "N")]
    pub builds_per_client: Option<u64>,
    /// The most builds of one client that agents have at once; others wait [default: no limit]
    #[arg(long, env = "DROVER_SLOTS_PER_CLIENT", value_name = "N")]
    pub slots_per_client: Option<u32>,
    /// After so many failures of the farm in a row a build is tried again only when somebody says `drover retry`
    #[arg(long, env = "DROVER_TRIES", default_value_t = Limits::default().tries, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tries: u32,
    /// So many failed downloads end a build as a failed one
    #[arg(long, env = "DROVER_DOWNLOAD_TRIES", default_value_t = Limits::default().downloads, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub download_tries: u32,
    /// An agent that was not heard for so long has lost its leases
    #[arg(long, env = "DROVER_LEASE_SECS", default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub lease_secs: u64,
    /// An agent that has not let go of what it was told to stop after so long gets no more
    #[arg(long, env = "DROVER_ABORT_SECS", default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub abort_secs: u64,
    /// An agent saves up for a build that takes more of what it shares than is free, once the build has waited for so long
    #[arg(long, env = "DROVER_SAVE_UP_SECS", default_value_t = 60, value_name = "SECONDS")]
    pub save_up_secs: u64,
    /// How often agents beat
    #[arg(long, env = "DROVER_BEAT_SECS", default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub beat_secs: u64,
}

impl Args {
    /// Where copies of the state go.
    pub fn snapshots(&self) -> PathBuf {
        self.snapshots.clone().unwrap_or_else(|| self.state_dir.join("snapshots"))
    }

    /// The core's bounds, as far as they can be set.
    pub fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            lease_millis: self.lease_secs * 1000,
            beat_every_millis: self.beat_secs * 1000,
            abort_millis: self.abort_secs * 1000,
            save_up_after_millis: self.save_up_secs * 1000,
            builds_per_client: self.builds_per_client.unwrap_or(usual.builds_per_client),
            slots_per_client: self.slots_per_client.unwrap_or(usual.slots_per_client),
            tries: self.tries,
            downloads: self.download_tries,
            ..usual
        }
    }
}
