//! Connections to the store daemon, kept warm: a new one costs more than a small build.
//!
//! A pool has one set of options for all its connections. It does not know what they are used for.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_daemon::{Connection, DaemonConfig, DaemonError, Options, StoreDaemon};

/// How often a connection is used before another takes its place. Behind each is a process of the daemon that holds
/// temporary roots of everything it has built; they go when it goes.
const MAX_USES: u32 = 500;

/// Warm connections.
#[derive(Debug)]
pub struct DaemonPool {
    daemon: DaemonConfig,
    options: Options,
    max_idle: usize,
    idle: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    connection: Connection,
    uses: u32,
}

impl DaemonPool {
    /// No connections yet. At most `max_idle` are kept while nobody uses them.
    pub fn new(daemon: DaemonConfig, options: Options, max_idle: usize) -> Self {
        Self { daemon, options, max_idle, idle: Mutex::default() }
    }

    /// A connection, the one that was used last if there is one. It goes back when it is dropped, unless it is dropped
    /// in the middle of an operation: then it is closed, and the daemon ends what it did for it.
    pub async fn take(&self) -> Result<Lent<'_>, DaemonError> {
        let kept = self.idle().pop();
        let kept = match kept {
            Some(kept) => kept,
            None => Kept { connection: self.connect().await?, uses: 0 },
        };
        Ok(Lent { pool: self, kept: Some(kept) })
    }

    /// A connection of the caller's own, with the pool's options.
    pub async fn connect(&self) -> Result<Connection, DaemonError> {
        let mut connection = Connection::connect(&self.daemon).await?;
        connection.set_options(&self.options).await?;
        Ok(connection)
    }

    /// Closes what nobody uses.
    pub fn clear(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection out of the pool.
#[derive(Debug)]
pub struct Lent<'p> {
    pool: &'p DaemonPool,
    /// There until it is dropped.
    kept: Option<Kept>,
}

impl Lent<'_> {
    /// Whether `error` says no more than that the daemon was restarted while the connection lay idle, so that another
    /// may do. All that lay idle are gone then.
    pub fn went_stale(&self, error: &DaemonError) -> bool {
        let stale = matches!(error, DaemonError::Lost(_)) && self.kept.as_ref().is_some_and(|kept| kept.uses > 0);
        if stale {
            self.pool.clear();
        }
        stale
    }

    /// Closes it, and all that lie idle: the daemon's processes behind them may remember what is no longer so.
    pub fn close(mut self) {
        self.kept = None;
        self.pool.clear();
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(mut kept) = self.kept.take() else { return };
        kept.uses += 1;
        let mut idle = self.pool.idle();
        if kept.connection.is_usable() && kept.uses < MAX_USES && idle.len() < self.pool.max_idle {
            idle.push(kept);
        }
    }
}

impl Deref for Lent<'_> {
    type Target = Connection;

    #[allow(clippy::expect_used)]
    fn deref(&self) -> &Connection {
        &self.kept.as_ref().expect("it is taken only when dropped").connection
    }
}

impl DerefMut for Lent<'_> {
    #[allow(clippy::expect_used)]
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.kept.as_mut().expect("it is taken only when dropped").connection
    }
}
