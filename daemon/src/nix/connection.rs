//! One conversation with a `nix-daemon`, and whether it can go on.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use drover_store::StoreDir;
use tokio::net::UnixStream;

use super::channel::{Channel, given_up, within};
use super::handshake::{Agreed, shake_hands};
use crate::{DaemonError, ProtocolVersion};

/// Where a daemon is and how patient to be with it.
#[derive(Clone, Debug)]
pub struct DaemonConfig {
    /// The daemon's socket; its path can have at most 107 bytes.
    pub socket: PathBuf,
    /// The store that the daemon manages.
    pub store_dir: StoreDir,
    /// How long connecting and greeting may take.
    pub connect_timeout: Duration,
    /// How long an operation may take that only looks something up or notes it down. Builds, substitution
    /// and the transfer of nars have no limit here: who asks for them knows what is too long.
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

/// One conversation with a `nix-daemon`, one operation at a time.
///
/// Dropping a connection ends what it was doing: in the middle of a build the daemon notices and kills
/// the builder. That is how a build is cancelled. Dropping the *future* of an operation leaves the two
/// sides out of step, as does every error but [`DaemonError::Daemon`] and [`DaemonError::Untrusted`]:
/// from then on [`Connection::is_usable`] is false and every operation fails.
#[derive(Debug)]
pub struct Connection {
    channel: Channel,
    agreed: Agreed,
    in_step: bool,
    reply_timeout: Duration,
}

impl Connection {
    /// Connects and greets.
    ///
    /// # Errors
    /// [`DaemonError::Unreachable`] when nobody listens, [`DaemonError::Dialect`] for a daemon that this
    /// client cannot speak to, and the usual ones of a conversation.
    pub async fn connect(config: &DaemonConfig) -> Result<Self, DaemonError> {
        let unreachable = |source: io::Error| DaemonError::Unreachable { socket: config.socket.clone(), source };
        within(config.connect_timeout, "the greeting", async {
            let stream = UnixStream::connect(&config.socket).await.map_err(unreachable)?;
            Self::greet(stream, config).await
        })
        .await
    }

    /// Greets over a stream that is connected already.
    pub(super) async fn greet(stream: UnixStream, config: &DaemonConfig) -> Result<Self, DaemonError> {
        let (channel, agreed) = shake_hands(stream, config.store_dir.clone()).await?;
        Ok(Self { channel, agreed, in_step: true, reply_timeout: config.reply_timeout })
    }

    /// The version of the protocol that is spoken.
    pub fn protocol(&self) -> ProtocolVersion {
        self.agreed.protocol
    }

    /// The daemon's version of Nix, such as `2.8.0`.
    pub fn nix_version(&self) -> &str {
        &self.agreed.nix_version
    }

    /// Whether the daemon trusts this user; unknown before protocol 1.35.
    pub fn trusted(&self) -> Option<bool> {
        self.agreed.trusted
    }

    /// The store that the daemon manages.
    pub fn store_dir(&self) -> &StoreDir {
        &self.channel.store
    }

    /// Whether another operation can follow.
    pub fn is_usable(&self) -> bool {
        self.in_step
    }

    /// Begins an operation. Until [`Connection::end`] the connection counts as out of step, so that an
    /// operation that is dropped half-way leaves it so.
    pub(super) fn begin(&mut self) -> Result<&mut Channel, DaemonError> {
        if !std::mem::replace(&mut self.in_step, false) {
            return Err(given_up());
        }
        Ok(&mut self.channel)
    }

    /// Ends an operation.
    pub(super) fn end<T>(&mut self, outcome: Result<T, DaemonError>) -> Result<T, DaemonError> {
        self.in_step = match &outcome {
            Ok(_) => true,
            Err(error) => error.leaves_in_step(),
        };
        outcome
    }

    pub(super) fn reply_timeout(&self) -> Duration {
        self.reply_timeout
    }
}
