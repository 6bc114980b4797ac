//! Where a store daemon is.

use std::path::PathBuf;
use std::time::Duration;

use drover_store::StoreDir;

/// Where a daemon is and how patient to be with it.
#[derive(Clone, Debug)]
pub struct DaemonConfig {
    /// The daemon's socket; its path can have at most 107 bytes.
    pub socket: PathBuf,
    /// The store that the daemon manages.
    pub store_dir: StoreDir,
    /// How long connecting and greeting may take.
    pub connect_timeout: Duration,
    /// How long an operation may take that only looks something up or notes it down. Builds, substitution,
    /// deletion and the transfer of nars have no limit here: who asks for them knows what is too long.
    pub reply_timeout: Duration,
}

impl DaemonConfig {
    /// The daemon at `socket`, with a patience that suits a machine under load.
    pub fn new(socket: impl Into<PathBuf>, store_dir: StoreDir) -> Self {
        Self {
            socket: socket.into(),
            store_dir,
            connect_timeout: Duration::from_secs(10),
            reply_timeout: Duration::from_secs(60),
        }
    }
}
