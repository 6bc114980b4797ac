//! Connections to the store daemon, kept warm: a new one costs more than a small build.
//!
//! A pool has one set of options for all its connections at a time. It does not know what they are used for.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_daemon::{Connection, DaemonConfig, DaemonError, Options, PathInfo, StoreDaemon};
use drover_store::StorePath;

/// How often a connection is used before another takes its place. Behind each is a process of the daemon that holds
/// temporary roots of everything it has built; they go when it goes.
const MAX_USES: u32 = 500;

/// Warm connections.
#[derive(Debug)]
pub struct DaemonPool {
    daemon: DaemonConfig,
    max_idle: usize,
    shelf: Mutex<Shelf>,
}

/// What changes together.
#[derive(Debug)]
struct Shelf {
    options: Options,
    /// How often the options were changed.
    edition: u64,
    idle: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    connection: Connection,
    uses: u32,
    /// Of its options.
    edition: u64,
}

impl DaemonPool {
    /// No connections yet. At most `max_idle` are kept while nobody uses them.
    pub fn new(daemon: DaemonConfig, options: Options, max_idle: usize) -> Self {
        Self { daemon, max_idle, shelf: Mutex::new(Shelf { options, edition: 0, idle: Vec::new() }) }
    }

    /// Changes the options of all connections that are taken from now on.
    pub fn set_options(&self, options: Options) {
        let mut shelf = self.shelf();
        shelf.options = options;
        shelf.edition += 1;
        shelf.idle.clear();
    }

    /// A connection, the one that was used last if there is one. It goes back when it is dropped, unless it is dropped
    /// in the middle of an operation: then it is closed, and the daemon ends what it did for it.
    pub async fn take(&self) -> Result<Lent<'_>, DaemonError> {
        let idle = self.shelf().idle.pop();
        let kept = match idle {
            Some(kept) => kept,
            None => self.fresh().await?,
        };
        Ok(Lent { pool: self, kept: Some(kept) })
    }

    /// What the store knows of a path; `None` where it does not have it.
    pub async fn path_info(&self, path: &StorePath) -> Result<Option<PathInfo>, DaemonError> {
        loop {
            let mut daemon = self.take().await?;
            match daemon.path_info(path).await {
                Err(error) if daemon.went_stale(&error) => {}
                info => return info,
            }
        }
    }

    /// A connection of the caller's own, with the pool's options.
    pub async fn connect(&self) -> Result<Connection, DaemonError> {
        Ok(self.fresh().await?.connection)
    }

    async fn fresh(&self) -> Result<Kept, DaemonError> {
        let (options, edition) = {
            let shelf = self.shelf();
            (shelf.options.clone(), shelf.edition)
        };
        let mut connection = Connection::connect(&self.daemon).await?;
        connection.set_options(&options).await?;
        Ok(Kept { connection, uses: 0, edition })
    }

    /// Closes what nobody uses.
    pub fn clear(&self) {
        self.shelf().idle.clear();
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut shelf = self.pool.shelf();
        let wanted = kept.uses < MAX_USES && kept.edition == shelf.edition && shelf.idle.len() < self.pool.max_idle;
        if wanted && kept.connection.is_usable() {
            shelf.idle.push(kept);
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
