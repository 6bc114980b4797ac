//! Inputs that are in the store, and are kept from the garbage collector while somebody waits to use them.
//!
//! One connection holds a temporary root for each. What it holds and has seen to be valid stays valid, so it is not
//! asked for again: builds of one graph share most of their inputs.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, PoisonError};

use drover_daemon::{Connection, DaemonError, StoreDaemon};
use drover_store::StorePath;
use tokio::sync::Mutex;

use crate::daemon_pool::DaemonPool;

/// The most roots of one connection; then another is made, and the old one goes with its last user.
const MAX_ROOTS: usize = 8192;

/// Temporary roots.
#[derive(Debug)]
pub struct TempRoots {
    daemon: Arc<DaemonPool>,
    current: std::sync::Mutex<Option<Arc<Holder>>>,
}

/// What is held stays in the store while this lives.
#[derive(Debug, Clone)]
pub struct Hold(#[allow(dead_code)] Arc<Holder>);

#[derive(Debug)]
struct Holder {
    inner: Mutex<Rooted>,
}

#[derive(Debug)]
struct Rooted {
    connection: Connection,
    valid: HashSet<StorePath>,
}

impl TempRoots {
    /// Nothing held yet.
    pub fn new(daemon: Arc<DaemonPool>) -> Self {
        Self { daemon, current: std::sync::Mutex::default() }
    }

    /// Holds these paths, and says which of them are not in the store.
    pub async fn hold(&self, paths: &[&StorePath]) -> Result<(Hold, BTreeSet<StorePath>), DaemonError> {
        loop {
            let (holder, fresh) = self.holder().await?;
            match holder.hold(paths).await {
                Ok(missing) => return Ok((Hold(holder), missing)),
                Err(DaemonError::Lost(_)) if !fresh => self.forget(),
                Err(error) => {
                    self.forget();
                    return Err(error);
                }
            }
        }
    }

    /// Trusts nothing that was seen before: something was not as it should be.
    pub fn forget(&self) {
        *self.current() = None;
    }

    async fn holder(&self) -> Result<(Arc<Holder>, bool), DaemonError> {
        if let Some(holder) = self.current().clone().filter(|holder| !holder.is_full()) {
            return Ok((holder, false));
        }
        let rooted = Rooted { connection: self.daemon.connect().await?, valid: HashSet::new() };
        let holder = Arc::new(Holder { inner: Mutex::new(rooted) });
        *self.current() = Some(holder.clone());
        Ok((holder, true))
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Holder>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    async fn hold(&self, paths: &[&StorePath]) -> Result<BTreeSet<StorePath>, DaemonError> {
        let mut rooted = self.inner.lock().await;
        let unknown: BTreeSet<StorePath> =
            paths.iter().filter(|path| !rooted.valid.contains(**path)).map(|path| (*path).clone()).collect();
        if unknown.is_empty() {
            return Ok(unknown);
        }
        // First the roots: what is valid after that stays so.
        for path in &unknown {
            rooted.connection.add_temp_root(path).await?;
        }
        let valid = rooted.connection.query_valid(&unknown).await?;
        let missing = unknown.difference(&valid).cloned().collect();
        rooted.valid.extend(valid);
        Ok(missing)
    }

    /// Whether another should take its place. One that is in use has room.
    fn is_full(&self) -> bool {
        self.inner.try_lock().is_ok_and(|rooted| rooted.valid.len() > MAX_ROOTS)
    }
}
