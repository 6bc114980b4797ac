//! What an agent runs with, however it was told, and the two ways in which it talks to its daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use drover_daemon::{DaemonConfig, Options, Substituters};
use drover_messages::AgentId;
use drover_nats::Login;
use drover_store::StoreDir;
use drover_substituter::ServerUrl;

/// Settings of one agent; [`Args`](crate::Args) explains them.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // The fields are the flags.
pub struct Config {
    pub agent: AgentId,
    pub login: Login,
    pub name: String,
    pub bucket_url: String,
    pub systems: Vec<String>,
    pub features: Vec<String>,
    pub mandatory_features: BTreeSet<String>,
    pub resources: BTreeMap<String, u64>,
    pub tags: BTreeMap<String, String>,
    pub slots: usize,
    pub cores: u64,
    pub daemon_socket: PathBuf,
    pub store_dir: StoreDir,
    pub substitute_urls: Vec<String>,
    pub extra_substitute_urls: Vec<ServerUrl>,
    pub trusted_public_keys: Vec<String>,
    pub state_dir: PathBuf,
    pub max_log_bytes: u64,
    pub max_output_bytes: u64,
    pub build_timeout_secs: u64,
    pub max_silent_secs: u64,
    pub min_free_bytes: u64,
    pub max_load_percent: u32,
    pub store_look_secs: u64,
}

impl Config {
    /// The daemon.
    pub fn daemon(&self) -> DaemonConfig {
        DaemonConfig::new(&self.daemon_socket, self.store_dir.clone())
    }

    /// For connections that build and look things up. With substitution the daemon would fetch outputs that another
    /// agent has just published, and a build would not be one.
    pub fn building(&self) -> Options {
        Options {
            substituters: Substituters::None,
            cores: self.cores,
            max_silent_secs: self.max_silent_secs,
            build_timeout_secs: self.build_timeout_secs,
            keep_failed: false,
            overrides: Vec::new(),
        }
    }

    /// For connections that check. What differs is looked at, so it is kept.
    pub fn checking(&self) -> Options {
        Options { keep_failed: true, ..self.building() }
    }

    /// For connections that fetch inputs: from the farm's cache, then from those of the other servers that are `reached`.
    pub fn fetching(&self, reached: &BTreeSet<String>) -> Options {
        let others = self.extra_substitute_urls.iter().map(ServerUrl::as_str).filter(|url| reached.contains(*url));
        let urls: Vec<String> = self.substitute_urls.iter().cloned().chain(others.map(Into::into)).collect();
        let substituters = match urls.is_empty() {
            true => Substituters::None,
            false => Substituters::From { urls, trusted_public_keys: self.trusted_public_keys.clone() },
        };
        Options { substituters, ..Options::default() }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::Args;

    fn config(flags: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let password = dir.path().join("password");
        let mut options = std::fs::File::options();
        std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create(true), 0o600);
        std::io::Write::write_all(&mut options.open(&password).unwrap(), &[b'x'; 32]).unwrap();
        let common = format!("drover-agent --uuid {} --bucket b --state-dir s --password-file", AgentId::new());
        let words = common.split(' ').chain([password.to_str().unwrap()]).chain(flags.split_whitespace());
        Args::try_parse_from(words).unwrap().config().unwrap()
    }

    #[test]
    fn the_farms_cache_is_asked_first_and_other_servers_while_they_answer() {
        let config =
            config("--substitute-url http://ours/ --extra-substitute-url http://a/,http://b --extra-substitute-url http://c");
        let reached = BTreeSet::from(["http://c".to_owned(), "http://a".to_owned(), "http://unknown".to_owned()]);
        let Substituters::From { urls, .. } = config.fetching(&reached).substituters else { panic!("it fetches") };
        assert_eq!(urls, ["http://ours", "http://a", "http://c"]);
    }

    #[test]
    fn nothing_is_fetched_from_nobody_and_nothing_at_all_while_building() {
        let config = config("--extra-substitute-url http://a");
        assert_eq!(config.fetching(&BTreeSet::new()).substituters, Substituters::None);
        assert_eq!(config.building().substituters, Substituters::None);
        assert_eq!(config.checking().substituters, Substituters::None);
    }
}
