//! nats-server itself: where its program is, and the configuration that a farm on one machine gives it.
//!
//! There is one configuration, `nats/nats-server.conf`, which a deployment uses as it stands. A farm of `drover up`
//! gets the same with its own addresses.

use std::path::{Path, PathBuf};

/// The configuration of a deployment.
const DEPLOYED: &str = include_str!("../nats-server.conf");
const DEPLOYED_LISTEN: &str = "listen: \"0.0.0.0:4222\"";
const DEPLOYED_MONITOR: &str = "http: \"127.0.0.1:8222\"";
const DEPLOYED_STORE: &str = "store_dir: \"/data/jetstream\"";

/// The name of the program.
const PROGRAM: &str = "nats-server";
/// The variable that names it.
pub const PROGRAM_VARIABLE: &str = "DROVER_NATS_SERVER";

/// What differs from one farm to another.
#[derive(Debug, Clone)]
pub struct ServerConf {
    /// `127.0.0.1:4222`.
    pub listen: String,
    /// Where the server tells of itself by HTTP.
    pub monitor: Option<String>,
    /// Where streams are kept; absolute.
    pub store_dir: PathBuf,
}

/// The configuration, to be written into a file beside the folder `logins` of [`crate::logins`].
pub fn server_conf(conf: &ServerConf) -> String {
    let monitor = conf.monitor.as_ref().map_or_else(|| "# http: off".to_string(), |at| format!("http: \"{at}\""));
    DEPLOYED
        .replace(DEPLOYED_LISTEN, &format!("listen: \"{}\"", conf.listen))
        .replace(DEPLOYED_MONITOR, &monitor)
        .replace(DEPLOYED_STORE, &format!("store_dir: \"{}\"", conf.store_dir.display()))
}

/// The nats-server program: `$DROVER_NATS_SERVER`, else `.cache/tools/nats-server` here or above, else on the path.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(PROGRAM_VARIABLE) {
        return Some(named.into());
    }
    let here = std::env::current_dir().unwrap_or_default();
    let tools = here.ancestors().map(|folder| folder.join(".cache/tools").join(PROGRAM));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).collect();
    tools.chain(on_path).find(|program| is_file(program))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_stands_once_in_the_deployed_configuration() {
        for anchor in [DEPLOYED_LISTEN, DEPLOYED_MONITOR, DEPLOYED_STORE] {
            assert_eq!(DEPLOYED.lines().filter(|line| line.trim() == anchor).count(), 1, "{anchor}");
        }
    }

    #[test]
    fn a_farm_gets_its_own_addresses() {
        let conf = server_conf(&ServerConf { listen: "127.0.0.1:1".into(), monitor: None, store_dir: "/tmp/store".into() });
        assert!(conf.contains("listen: \"127.0.0.1:1\"") && conf.contains("store_dir: \"/tmp/store\""));
        assert!(!conf.contains("0.0.0.0:4222") && !conf.contains("8222\""));
    }
}
