//! The first words: magic numbers, versions, and what newer daemons say about themselves.

use drover_store::StoreDir;
use tokio::net::UnixStream;

use super::channel::Channel;
use crate::wire::Request;
use crate::{DaemonError, Event, ProtocolVersion};

const CLIENT_MAGIC: u64 = 0x6e69_7863;
const DAEMON_MAGIC: u64 = 0x6478_696f;
/// The longest version text accepted from a daemon, in bytes.
const MAX_NIX_VERSION_BYTES: u64 = 256;

/// What was agreed upon.
#[derive(Debug)]
pub(super) struct Agreed {
    pub protocol: ProtocolVersion,
    pub nix_version: String,
    pub trusted: Option<bool>,
}

/// Speaks first. A daemon that does not fit is left before it is told our version.
pub(super) async fn shake_hands(stream: UnixStream, store: StoreDir) -> Result<(Channel, Agreed), DaemonError> {
    let mut channel = Channel::new(stream, store);
    channel.send(&Request::new(CLIENT_MAGIC)).await?;
    if channel.input.number().await? != DAEMON_MAGIC {
        return Err(DaemonError::protocol("it is no Nix or Guix daemon"));
    }
    let server = ProtocolVersion::from_wire(channel.input.number().await?);
    let protocol = server.negotiate().map_err(|why| DaemonError::Dialect { server, why })?;
    let mut reply = Request::bare();
    reply.number(protocol.to_wire());
    reply.flag(false).flag(false); // no processor affinity, no reserved space: both long obsolete
    channel.send(&reply).await?;
    let nix_version = channel.input.text(MAX_NIX_VERSION_BYTES).await?;
    let trusted = if protocol.minor() >= 35 { read_trust(channel.input.number().await?) } else { None };
    channel.await_answer(&mut |_: Event| {}).await?;
    Ok((channel, Agreed { protocol, nix_version, trusted }))
}

fn read_trust(code: u64) -> Option<bool> {
    match code {
        1 => Some(true),
        2 => Some(false),
        _ => None,
    }
}
