//! Everything an operator can set, by flag and by environment variable.

use std::path::PathBuf;

use drover_messages::agent::{MAX_SERVERS, MAX_SLOTS, MAX_SYSTEMS};
use drover_messages::request::{MAX_TAG_BYTES, MAX_TAGS};
use drover_nats::{NatsArgs, NatsError};
use drover_store::StoreDir;
use drover_substituter::ServerUrl;

use crate::AgentError;
use crate::config::Config;
use crate::daemon_socket;

/// Drover's agent: takes builds from the scheduler, lets the store daemon of this machine build them, and brings logs
/// and outputs to the bucket.
///
/// It needs to see the daemon's store, and to be trusted by a nix-daemon (trusted-users in nix.conf; root is by default).
/// Start one for each store.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "drover-agent", version)]
pub struct Args {
    /// How to reach NATS.
    #[command(flatten)]
    pub nats: NatsArgs,

    /// Where packs, logs and outputs lie: file:///path, s3://bucket/prefix, gs://…, az://…
    #[arg(long, env = "DROVER_BUCKET", value_name = "URL")]
    pub bucket: String,

    /// A system to build for; more than one by repeating it, or with commas [default: this machine's]
    #[arg(long = "system", env = "DROVER_AGENT_SYSTEMS", value_delimiter = ',', value_name = "SYSTEM")]
    pub systems: Vec<String>,

    /// A feature that derivations may require, such as kvm; repeatable
    #[arg(long = "feature", env = "DROVER_AGENT_FEATURES", value_delimiter = ',', value_name = "FEATURE")]
    pub features: Vec<String>,

    /// A feature that builds must require to come here, so that this machine is kept for them; repeatable. It is offered as well
    #[arg(long = "mandatory-feature", env = "DROVER_AGENT_MANDATORY_FEATURES", value_delimiter = ',', value_name = "FEATURE")]
    pub mandatory_features: Vec<String>,

    /// What builds share here, such as mem=64: one that requires the feature mem:16 takes 16 of it while it is here; repeatable
    #[arg(long = "resource", env = "DROVER_AGENT_RESOURCES", value_delimiter = ',', value_name = "NAME=AMOUNT",
          value_parser = resource)]
    pub resources: Vec<(String, u64)>,

    /// A word about this machine, by which users choose (drover build --on, --not-on); repeatable
    #[arg(long = "tag", env = "DROVER_AGENT_TAGS", value_delimiter = ',', value_name = "KEY=VALUE", value_parser = tag)]
    pub tags: Vec<(String, String)>,

    /// Builds that run at once
    #[arg(long, env = "DROVER_AGENT_MAX_PARALLEL_BUILDS", default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS)))]
    pub max_parallel_builds: u32,

    /// Processors that a build is told to use [default: this machine's, shared among the builds that run at once]
    #[arg(long, env = "DROVER_AGENT_CORES", value_name = "N")]
    pub cores: Option<u64>,

    /// The store daemon's socket, by its path or as unix:///path [default: where the store's daemon usually listens; for Guix,
    /// where GUIX_DAEMON_SOCKET says]
    #[arg(long, env = "DROVER_AGENT_DAEMON_SOCKET", value_name = "PATH")]
    pub daemon_socket: Option<String>,

    /// The store that the daemon manages: /nix/store, or /gnu/store
    #[arg(long, env = "DROVER_AGENT_STORE_DIR", default_value = "/nix/store", value_name = "DIR")]
    pub store_dir: StoreDir,

    /// The farm's cache, where inputs come from, such as drover-cache's address with the store's name behind it; repeatable
    #[arg(long = "substitute-url", env = "DROVER_AGENT_SUBSTITUTE_URLS", value_delimiter = ',', value_name = "URL",
          value_parser = without_slash)]
    pub substitute_urls: Vec<String>,

    /// Another substitute server that the daemon trusts, https://, http:// or file://; repeatable. What it has is not built
    #[arg(long = "extra-substitute-url", env = "DROVER_AGENT_EXTRA_SUBSTITUTE_URLS", value_delimiter = ',', value_name = "URL")]
    pub extra_substitute_urls: Vec<ServerUrl>,

    /// For Nix: a key that signs what any of these servers has, name:base64; repeatable. Without one nothing is fetched but
    /// what needs no signature. A guix-daemon trusts the keys in /etc/guix/acl
    #[arg(long = "trusted-public-key", env = "DROVER_AGENT_TRUSTED_PUBLIC_KEYS", value_delimiter = ',', value_name = "KEY")]
    pub trusted_public_keys: Vec<String>,

    /// Where the agent keeps what the scheduler has not settled yet
    #[arg(long, env = "DROVER_AGENT_STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,

    /// What people call this agent [default: the host's name]
    #[arg(long, env = "DROVER_AGENT_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// The longest log of one build, in bytes; what says more is stopped
    #[arg(long, env = "DROVER_AGENT_MAX_LOG_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    pub max_log_bytes: u64,

    /// The most that one build may make, in bytes: the nars of all its outputs together; what makes more fails, and nothing of
    /// it is uploaded. 0 for no limit
    #[arg(long, env = "DROVER_AGENT_MAX_OUTPUT_BYTES", default_value_t = 0, value_name = "BYTES")]
    pub max_output_bytes: u64,

    /// After how many seconds a build is stopped; 0 for never
    #[arg(long, env = "DROVER_AGENT_BUILD_TIMEOUT_SECS", default_value_t = 0, value_name = "SECS")]
    pub build_timeout_secs: u64,

    /// After how many seconds without a word a build is stopped; 0 for never
    #[arg(long, env = "DROVER_AGENT_MAX_SILENT_SECS", default_value_t = 0, value_name = "SECS")]
    pub max_silent_secs: u64,

    /// With less free room in the store than this, in bytes, no builds are taken
    #[arg(long, env = "DROVER_AGENT_MIN_FREE_BYTES", default_value_t = 1 << 30, value_name = "BYTES")]
    pub min_free_bytes: u64,

    /// Over this load average of a minute, in percent, no builds are taken until it is down to three quarters of it; 0 for no
    /// limit. Each process that runs or wants to is 100, however many processors there are: 800 keeps eight busy
    #[arg(long, env = "DROVER_AGENT_MAX_LOAD_PERCENT", default_value_t = 0, value_name = "N")]
    pub max_load_percent: u32,

    /// How often the store's folder is looked at, so that builds go where their inputs are; 0 for never
    #[arg(long, env = "DROVER_AGENT_STORE_LOOK_SECS", default_value_t = 30, value_name = "SECS")]
    pub store_look_secs: u64,
}

impl Args {
    /// What the agent runs with.
    ///
    /// # Errors
    /// [`AgentError::Login`] where the password cannot be read or the login is no agent's, [`AgentError::Socket`].
    pub fn config(self) -> Result<Config, AgentError> {
        let login = self.nats.login("agent").map_err(AgentError::Login)?;
        let agent = self.nats.uuid.parse().map_err(|_| {
            let why = format!("an agent logs in with the UUID that `drover agent new` printed, not {:?}", self.nats.uuid);
            AgentError::Login(NatsError::File { path: self.nats.password_file.clone(), why })
        })?;
        let daemon_socket =
            daemon_socket::find(self.daemon_socket, std::env::var_os(daemon_socket::GUIX_VARIABLE), &self.store_dir)?;
        let mut extra_substitute_urls = self.extra_substitute_urls;
        extra_substitute_urls.truncate(MAX_SERVERS);
        let mut systems = if self.systems.is_empty() { vec![host_system()] } else { self.systems };
        systems.truncate(MAX_SYSTEMS);
        let mut features = [self.features, self.mandatory_features.clone()].concat();
        features.truncate(MAX_SYSTEMS);
        Ok(Config {
            agent,
            login,
            name: self.name.unwrap_or_else(host_name),
            bucket_url: self.bucket,
            systems,
            features,
            mandatory_features: self.mandatory_features.into_iter().take(MAX_SYSTEMS).collect(),
            resources: self.resources.into_iter().take(MAX_SYSTEMS).collect(),
            tags: self.tags.into_iter().take(MAX_TAGS).collect(),
            slots: self.max_parallel_builds as usize,
            cores: self.cores.unwrap_or_else(|| shared_cores(self.max_parallel_builds)),
            daemon_socket,
            store_dir: self.store_dir,
            substitute_urls: self.substitute_urls,
            extra_substitute_urls,
            trusted_public_keys: self.trusted_public_keys,
            state_dir: self.state_dir,
            max_log_bytes: self.max_log_bytes,
            max_output_bytes: self.max_output_bytes,
            build_timeout_secs: self.build_timeout_secs,
            max_silent_secs: self.max_silent_secs,
            min_free_bytes: self.min_free_bytes,
            max_load_percent: self.max_load_percent,
            store_look_secs: self.store_look_secs,
        })
    }
}

/// Two ways to write a URL are one.
fn without_slash(url: &str) -> Result<String, std::convert::Infallible> {
    Ok(url.trim_end_matches('/').into())
}

fn resource(text: &str) -> Result<(String, u64), String> {
    let (name, amount) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("a resource has the form name=amount")?;
    let amount = amount.parse().map_err(|_| format!("the amount of {name} is a whole number"))?;
    Ok((name.into(), amount))
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("a tag has the form key=value")?;
    match key.len().max(value.len()) <= MAX_TAG_BYTES {
        true => Ok((key.into(), value.into())),
        false => Err(format!("the key and the value of a tag have at most {MAX_TAG_BYTES} bytes each")),
    }
}

fn host_system() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "agent".into(), |name| name.trim().into())
}

/// A build is told a real number: `make -j0` does not mean "all".
fn shared_cores(builds: u32) -> u64 {
    let all = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    (all / u64::from(builds)).max(1)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_can_be_set_by_the_environment_and_is_explained() {
        for arg in Args::command().get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
            assert!(arg.get_env().is_some() && arg.get_help().is_some(), "{}", arg.get_id());
        }
    }

    #[test]
    fn lists_are_given_by_repetition_or_with_commas() {
        let args = "drover-agent --uuid u --password-file p --bucket b --state-dir s --system a-linux --system b-linux,c-linux";
        let args = Args::try_parse_from(args.split(' ')).unwrap();
        assert_eq!(args.systems, ["a-linux", "b-linux", "c-linux"]);
    }

    #[test]
    fn what_builds_share_and_what_users_choose_by_have_names_and_values() {
        let args = "drover-agent --uuid u --password-file p --bucket b --state-dir s --resource mem=64,gpu=2 --tag site=a";
        let args = Args::try_parse_from(args.split(' ')).unwrap();
        assert_eq!(args.resources, [("mem".into(), 64), ("gpu".into(), 2)]);
        assert_eq!(args.tags, [("site".into(), "a".into())]);
        assert!(resource("mem").is_err() && resource("mem=much").is_err() && tag("=a").is_err());
    }

    #[test]
    fn a_slash_behind_a_url_means_nothing() {
        let args = "drover-agent --uuid u --password-file p --bucket b --state-dir s --substitute-url http://a/nix-store/ \
                    --extra-substitute-url https://b/,http://c";
        let args = Args::try_parse_from(args.split_whitespace()).unwrap();
        assert_eq!(args.substitute_urls, ["http://a/nix-store"]);
        assert_eq!(args.extra_substitute_urls.iter().map(ServerUrl::as_str).collect::<Vec<_>>(), ["https://b", "http://c"]);
    }
}
