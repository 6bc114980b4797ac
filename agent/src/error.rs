//! What ends an agent, or keeps it from starting. What goes wrong with one attempt is a `Cause` and ends only that.

use std::io;
use std::path::{Path, PathBuf};

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another process has this state directory. Give each agent its own.
    #[error("another agent runs with the state directory {}: give each agent its own", .0.display())]
    StateDirTaken(PathBuf),
    /// The state directory cannot be used. Mend it, or name another.
    #[error("cannot use {}", path.display())]
    StateDir {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bucket's address is wrong.
    #[error("cannot use the bucket")]
    Bucket(#[source] drover_bucket::BucketError),
    /// What names the store daemon's socket names none that can be used.
    #[error("the store daemon is reached through a socket on this machine, named by its path or as unix:///path, not by {0:?}")]
    Socket(String),
    /// A substitute server's address cannot be used.
    #[error("cannot use a substitute server")]
    Server(#[source] drover_substituter::SubstituterError),
    /// The login is wrong, or its password cannot be read.
    #[error("cannot log in")]
    Login(#[source] drover_nats::NatsError),
}

impl AgentError {
    pub(crate) fn state_dir(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::StateDir { path: path.to_owned(), source }
    }
}
