//! Whether this machine can build now, and if not, why: in words that help whoever reads them in a list of agents.
//!
//! An agent that is not ready says so and goes on; it never ends for it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drover_daemon::{DaemonError, StoreDaemon};
use tokio::time::timeout;

use crate::backoff::Backoff;
use crate::cause_of::{bounded, words};
use crate::config::Config;
use crate::daemon_pool::DaemonPool;
use crate::daemon_socket;
use crate::disk::free_bytes;
use crate::foreman::Foreman;
use crate::load::{LoadLimit, load_percent};
use crate::probe::Probe;
use crate::reach::knock;

/// How often it is looked at while all is well.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the daemon may take to answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// What the agent says before it has looked.
pub const NOT_LOOKED_YET: &str = "it is starting";

/// Who looks.
pub struct Readiness {
    /// What the agent was told.
    pub config: Arc<Config>,
    /// Its daemon.
    pub daemons: Arc<DaemonPool>,
    /// Its cache.
    pub probe: Probe,
    /// Who wants to know.
    pub foreman: Arc<Foreman>,
}

impl Readiness {
    /// Looks again and again, and tells the foreman.
    pub async fn watch(&self) {
        let (mut backoff, mut load) = (Backoff::default(), LoadLimit::new(self.config.max_load_percent));
        loop {
            let looked = self.look().await.and_then(|()| load.check(load_percent()));
            let is_ready = looked.is_ok();
            self.foreman.set_ready(looked.err().map(bounded));
            let pause = async {
                if is_ready {
                    backoff = Backoff::default();
                    tokio::time::sleep(LOOK_EVERY).await;
                } else {
                    backoff.wait().await;
                }
            };
            tokio::select! {
                () = pause => {}
                () = self.foreman.suspicion.notified() => self.probe.doubt(),
            }
        }
    }

    async fn look(&self) -> Result<(), String> {
        self.look_at_store()?;
        self.look_at_daemon().await?;
        for url in &self.config.substitute_urls {
            knock(url).await.map_err(|why| format!("the cache cannot be used: {why}"))?;
        }
        self.probe.look().await
    }

    fn look_at_store(&self) -> Result<(), String> {
        let (dir, wanted) = (Path::new(self.config.store_dir.as_str()), self.config.min_free_bytes);
        if !dir.is_dir() {
            let hint = self.hint().unwrap_or_else(|| "run the agent where its daemon's store can be seen".into());
            return Err(format!("there is no folder {}: {hint}", dir.display()));
        }
        match free_bytes(dir) {
            free if free < wanted => Err(format!("{} has {} MiB free, {} are wanted", dir.display(), free >> 20, wanted >> 20)),
            _ => Ok(()),
        }
    }

    async fn look_at_daemon(&self) -> Result<(), String> {
        let asked = timeout(LOOK_TIMEOUT, async {
            loop {
                let mut daemon = self.daemons.take().await?;
                match daemon.query_valid(&BTreeSet::new()).await {
                    Err(error) if daemon.went_stale(&error) => {}
                    answer => return answer.map(|_| daemon.trusted()),
                }
            }
        });
        match asked.await {
            Err(_) => Err(format!("the store daemon did not answer within {} s", LOOK_TIMEOUT.as_secs())),
            Ok(Err(error @ DaemonError::Unreachable { .. })) => {
                Err([Some(words(&error)), self.hint()].into_iter().flatten().collect::<Vec<_>>().join("; "))
            }
            Ok(Err(error)) => Err(words(&error)),
            Ok(Ok(Some(false))) => {
                Err("the store daemon does not trust this user: name it in trusted-users of its nix.conf".into())
            }
            Ok(Ok(_)) => Ok(()),
        }
    }

    fn hint(&self) -> Option<String> {
        daemon_socket::hint(&self.config.daemon_socket, &self.config.store_dir).map(Into::into)
    }
}
