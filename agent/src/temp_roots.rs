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
pub struct Hold(Vec<Arc<Holder>>);

#[derive(Debug)]
struct Holder {
    needs_closure: bool,
    inner: Mutex<Rooted>,
}

#[derive(Debug)]
struct Rooted {
    connection: Connection,
    /// Those of what is not valid yet may be counted more than once.
    roots: usize,
    valid: HashSet<StorePath>,
}

impl Hold {
    /// Holds what the other does, too.
    pub fn and(mut self, other: Self) -> Self {
        let known = |holder: &Arc<Holder>| self.0.iter().any(|ours| Arc::ptr_eq(ours, holder));
        let new: Vec<_> = other.0.into_iter().filter(|holder| !known(holder)).collect();
        self.0.extend(new);
        self
    }

    /// Whether this daemon wants a derivation in its store, with all that it refers to, to build it.
    pub fn needs_closure(&self) -> bool {
        self.0.iter().any(|holder| holder.needs_closure)
    }
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
                Ok(missing) => return Ok((Hold(vec![holder]), missing)),
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
        let connection = self.daemon.connect().await?;
        let needs_closure = connection.needs_closure();
        let inner = Mutex::new(Rooted { connection, roots: 0, valid: HashSet::new() });
        let holder = Arc::new(Holder { needs_closure, inner });
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
            rooted.roots += 1;
        }
        let valid = rooted.connection.query_valid(&unknown).await?;
        let missing = unknown.difference(&valid).cloned().collect();
        rooted.valid.extend(valid);
        Ok(missing)
    }

    /// Whether another should take its place. One that is in use has room.
    fn is_full(&self) -> bool {
        self.inner.try_lock().is_ok_and(|rooted| rooted.roots > MAX_ROOTS)
    }
}
