//! What the scheduler can be told at its start.

use std::path::PathBuf;

use clap::CommandFactory;
use clap::error::ErrorKind;
use drover_nats::{NatsArgs, Pool};
use drover_scheduler_core::Limits;

/// A lease lasts at least so many beats: an agent that was not heard for half of its lease gets nothing more, so that a beat may
/// come late by half of its time without harm.
const BEATS_PER_LEASE: u64 = 3;
/// The longest lease: a day.
const MAX_LEASE_SECS: u64 = 86_400;
/// The slowest beat: agents beat every minute, whatever they are told.
const MAX_BEAT_SECS: u64 = 60;

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
    /// Forget builds so many days after they were asked for, once they are finished, and submissions without builds; by default they are kept
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
    /// An agent that was not heard for so long has lost its leases; after half of it, it gets nothing more. At least three times
    /// --beat-secs, at most a day
    #[arg(long, env = "DROVER_LEASE_SECS", default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=MAX_LEASE_SECS))]
    pub lease_secs: u64,
    /// An agent that has not let go of what it was told to stop after so long gets no more
    #[arg(long, env = "DROVER_ABORT_SECS", default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub abort_secs: u64,
    /// An agent saves up for a build that takes more of what it shares than is free, once the build has waited for so long
    #[arg(long, env = "DROVER_SAVE_UP_SECS", default_value_t = 60, value_name = "SECONDS")]
    pub save_up_secs: u64,
    /// How often agents beat: at least once a minute, and three times in --lease-secs
    #[arg(long, env = "DROVER_BEAT_SECS", default_value_t = 10, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=MAX_BEAT_SECS))]
    pub beat_secs: u64,
}

impl Args {
    /// Checks what depends on more than one of them.
    ///
    /// # Errors
    /// A lease that is too short for the beat, as an error that ends the process as any other bad argument does.
    pub fn checked(self) -> Result<Self, clap::Error> {
        let shortest = BEATS_PER_LEASE * self.beat_secs;
        if self.lease_secs >= shortest {
            return Ok(self);
        }
        let why = format!(
            "--lease-secs {} is too short for --beat-secs {}: agents would count as lost between two beats; it takes {shortest} at least",
            self.lease_secs, self.beat_secs
        );
        Err(Self::command().error(ErrorKind::ValueValidation, why))
    }

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
            abort_millis: self.abort_secs.saturating_mul(1000),
            save_up_after_millis: self.save_up_secs.saturating_mul(1000),
            builds_per_client: self.builds_per_client.unwrap_or(usual.builds_per_client),
            slots_per_client: self.slots_per_client.unwrap_or(usual.slots_per_client),
            tries: self.tries,
            downloads: self.download_tries,
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn args(words: &str) -> Result<Args, clap::Error> {
        let args = format!("drover-scheduler --uuid u --password-file p --bucket b --state-dir s {words}");
        Args::try_parse_from(args.split_whitespace())?.checked()
    }

    #[test]
    fn a_lease_that_is_too_short_for_the_beat_is_refused_as_any_bad_argument_is() {
        let error = args("--lease-secs 60 --beat-secs 40").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--lease-secs 60 is too short for --beat-secs 40"), "{error}");
        assert!(error.to_string().contains("it takes 120 at least"), "{error}");
        assert!(args("--beat-secs 21").is_err(), "the usual lease is a minute");
        assert_eq!(args("--lease-secs 3 --beat-secs 1").unwrap().limits().lease_millis, 3_000);
        assert!(args("").is_ok());
    }

    #[test]
    fn leases_and_beats_have_bounds() {
        assert!(args("--lease-secs 86400 --beat-secs 60").is_ok());
        for wrong in ["--lease-secs 86401", "--lease-secs 0", "--beat-secs 0", "--lease-secs 600 --beat-secs 61"] {
            assert_eq!(args(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
