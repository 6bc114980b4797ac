//! What can go wrong between us and a store daemon, sorted by what the caller can do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::ProtocolVersion;

/// A failed conversation with a store daemon.
///
/// None of these says that a derivation is bad: a build that the daemon tried and that failed is a
/// [`BuildResult`](crate::BuildResult), not an error.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The daemon refused the operation, in its own words. The connection can be used further, but for
    /// one case of [`nix::Connection::nar`](crate::nix::Connection::nar).
    #[error("the store daemon says: {0}")]
    Daemon(String),

    /// The daemon does not trust this user with the operation. The connection can be used further, but
    /// asking again is of no use until `trusted-users` of the daemon names this user.
    #[error("the store daemon does not trust this user (see trusted-users in its nix.conf): {0}")]
    Untrusted(String),

    /// Nobody answers at the socket. Connect again later.
    #[error("no store daemon answers at {}", socket.display())]
    Unreachable {
        /// The socket that was tried.
        socket: PathBuf,
        /// Why it could not be reached.
        source: io::Error,
    },

    /// The connection broke, or was cut off in an earlier operation. Connect again.
    #[error("the connection to the store daemon is lost")]
    Lost(#[source] io::Error),

    /// The daemon took longer than the caller allows. Connect again.
    #[error("the store daemon did not answer {what} within {limit:?}")]
    Timeout {
        /// The operation that took too long.
        what: &'static str,
        /// How long it was given.
        limit: Duration,
    },

    /// The daemon sent what the protocol does not allow, or more than we accept. Connect again; if it
    /// comes back, this daemon and this program do not fit.
    #[error("the store daemon breaks the protocol: {0}")]
    Protocol(String),

    /// The daemon speaks a version or a dialect that this client does not. Nothing will help but
    /// another daemon.
    #[error("the store daemon speaks protocol {server}, which is not supported: {why}")]
    Dialect {
        /// What the daemon announced.
        server: ProtocolVersion,
        /// What is unsupported about it.
        why: &'static str,
    },

    /// The caller's own stream failed: the source of what was sent, or the sink of what was received.
    #[error("the stream beside the store daemon failed")]
    Stream(#[source] io::Error),
}

impl DaemonError {
    /// Whether the operation ended with both sides in step, so that the connection can go on.
    pub(crate) fn leaves_in_step(&self) -> bool {
        matches!(self, Self::Daemon(_) | Self::Untrusted(_))
    }

    /// The daemon's own refusal, told apart by its words: neither dialect has a code for it.
    pub(crate) fn from_daemon(message: String) -> Self {
        if message.contains("not privileged") { Self::Untrusted(message) } else { Self::Daemon(message) }
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_privilege_is_told_apart_from_other_refusals() {
        let refused = DaemonError::from_daemon("you are not privileged to build input-addressed derivations".into());
        assert!(matches!(refused, DaemonError::Untrusted(_)), "{refused:?}");
        let other = DaemonError::from_daemon("path '/nix/store/x' is not valid".into());
        assert!(matches!(other, DaemonError::Daemon(_)), "{other:?}");
    }

    #[test]
    fn only_the_daemons_own_refusals_leave_the_connection_in_step() {
        assert!(DaemonError::from_daemon("no".into()).leaves_in_step());
        assert!(!DaemonError::Lost(io::ErrorKind::BrokenPipe.into()).leaves_in_step());
        assert!(!DaemonError::protocol("odd").leaves_in_step());
    }
}
