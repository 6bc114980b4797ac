//! The first words: magic numbers and versions, and by them the dialect.

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::channel::Channel;
use crate::conversation::Conversation;
use crate::wire::Request;
use crate::worker;
use crate::{Connection, DaemonConfig, DaemonError, Dialect, ProtocolVersion, guix, nix};

const CLIENT_MAGIC: u64 = 0x6e69_7863;
const DAEMON_MAGIC: u64 = 0x6478_696f;

/// Speaks first. A daemon that does not fit is left before it is told our version.
pub(crate) async fn greet(mut stream: UnixStream, config: &DaemonConfig) -> Result<Connection, DaemonError> {
    worker::ask(&stream);
    stream.write_all(Request::new(CLIENT_MAGIC).as_bytes()).await.map_err(DaemonError::Lost)?;
    let worker = worker::of_answer(&stream).await;
    let mut channel = Channel::new(stream, config.store_dir.clone());
    channel.worker = worker;
    if channel.input.number().await? != DAEMON_MAGIC {
        return Err(DaemonError::protocol("it is no Nix or Guix daemon"));
    }
    let server = ProtocolVersion::from_wire(channel.input.number().await?);
    let protocol = server.negotiate().map_err(|why| DaemonError::Dialect { server, why })?;
    channel.dialect = protocol.dialect();
    channel.send(&introduction(protocol)).await?;
    match protocol.dialect() {
        Dialect::Nix => {
            let welcome = nix::Welcome::read(&mut channel, protocol).await?;
            channel.await_answer(&mut |_| {}).await?;
            let talk = Conversation::new(channel, protocol, config.reply_timeout);
            Ok(Connection::Nix(nix::Connection::new(talk, welcome)))
        }
        Dialect::Guix => {
            channel.await_answer(&mut |_| {}).await?;
            let talk = Conversation::new(channel, protocol, config.reply_timeout);
            Ok(Connection::Guix(guix::Connection::new(talk)))
        }
    }
}

/// Our version, no processor affinity, and whether space on the disk is set aside for collections of garbage: a file
/// that `guix-daemon` makes when it is not there, and that Nix no longer knows.
fn introduction(protocol: ProtocolVersion) -> Request {
    let mut words = Request::bare();
    words.number(protocol.to_wire()).flag(false).flag(protocol.dialect() == Dialect::Guix);
    words
}
