//! Whether this machine can build now, and if not, why: in words that help whoever reads them in a list of agents.
//!
//! An agent that is not ready says so and goes on; it never ends for it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drover_daemon::StoreDaemon;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cause_of::words;
use crate::config::Config;
use crate::daemon_pool::DaemonPool;
use crate::disk::free_bytes;
use crate::foreman::Foreman;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long one look at one thing may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// What the agent says before it has looked.
pub const NOT_LOOKED_YET: &str = "it is starting";

/// Looks again and again, and tells the foreman.
pub async fn watch(config: &Config, daemons: &DaemonPool, foreman: &Arc<Foreman>) {
    loop {
        foreman.set_ready(look(config, daemons).await);
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = foreman.suspicion.notified() => {}
        }
    }
}

/// Why this machine cannot build; `None` if it can.
pub async fn look(config: &Config, daemons: &DaemonPool) -> Option<String> {
    if let Err(why) = store(config) {
        return Some(why);
    }
    if let Err(why) = daemon(daemons).await {
        return Some(why);
    }
    for url in &config.substitute_urls {
        if let Err(why) = substitutes(url).await {
            return Some(why);
        }
    }
    None
}

fn store(config: &Config) -> Result<(), String> {
    let dir = Path::new(config.store_dir.as_str());
    if !dir.is_dir() {
        return Err(format!("there is no folder {}: run the agent where its daemon's store can be seen", dir.display()));
    }
    match free_bytes(dir) {
        free if free < config.min_free_bytes => {
            Err(format!("{} has {} MiB free, {} are wanted", dir.display(), free >> 20, config.min_free_bytes >> 20))
        }
        _ => Ok(()),
    }
}

async fn daemon(daemons: &DaemonPool) -> Result<(), String> {
    let asked = timeout(LOOK_TIMEOUT, async {
        loop {
            let mut daemon = daemons.take().await?;
            match daemon.query_valid(&BTreeSet::new()).await {
                Err(error) if daemon.went_stale(&error) => {}
                answer => return answer.map(|_| daemon.trusted()),
            }
        }
    });
    match asked.await {
        Err(_) => Err(format!("the store daemon did not answer within {} s", LOOK_TIMEOUT.as_secs())),
        Ok(Err(error)) => Err(words(&error)),
        Ok(Ok(Some(false))) => Err("the store daemon does not trust this user: name it in trusted-users of its nix.conf".into()),
        Ok(Ok(_)) => Ok(()),
    }
}

async fn substitutes(url: &str) -> Result<(), String> {
    let Some((host, port)) = address(url) else { return Ok(()) };
    match timeout(LOOK_TIMEOUT, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("the cache at {url} cannot be reached: {error}")),
        Err(_) => Err(format!("the cache at {url} did not answer within {} s", LOOK_TIMEOUT.as_secs())),
    }
}

/// Where to knock, for a cache on a network.
fn address(url: &str) -> Option<(String, u16)> {
    let (rest, port) = match url.split_once("://")? {
        ("http", rest) => (rest, 80),
        ("https", rest) => (rest, 443),
        _ => return None,
    };
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority.rsplit('@').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => Some((unbracketed(host), port.parse().ok()?)),
        _ => Some((unbracketed(authority), port)),
    }
}

fn unbracketed(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_cache_is_read_from_its_url() {
        let cases = [
            ("http://127.0.0.1:8080/nix-store", Some(("127.0.0.1", 8080))),
            ("http://cache.example?priority=1", Some(("cache.example", 80))),
            ("https://user@cache.example/x", Some(("cache.example", 443))),
            ("http://[::1]:81/", Some(("::1", 81))),
            ("http://[::1]/", Some(("::1", 80))),
            ("file:///somewhere", None),
        ];
        for (url, expected) in cases {
            assert_eq!(address(url), expected.map(|(host, port)| (host.to_owned(), port)), "{url}");
        }
    }
}
