//! Bringing items into the store and out of it.

use drover_store::StorePath;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::query::read_path_info;
use super::{Connection, operation};
use crate::channel::Channel;
use crate::wire::{ERROR, Request, read_error};
use crate::{DaemonError, Dialect, PathInfo};

/// The string `nix-archive-1` and the length of `(`.
const NAR_BEGIN: &[u8; 32] = b"\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0\x01\0\0\0\0\0\0\0";
/// What of it a daemon may write before it looks at the path.
const NAR_MAGIC_BYTES: u64 = 24;

impl Connection {
    pub(super) async fn send_text(
        &mut self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> Result<StorePath, DaemonError> {
        let mut request = Request::new(operation::ADD_TO_STORE);
        request.bytes(name).bytes("text:sha256");
        request.list(references.iter().map(|path| self.talk.store_dir().path(path)));
        request.flag(false); // repair
        let channel = self.talk.begin()?;
        let outcome = async {
            channel.call_framed(request, contents).await?;
            let path = channel.store_path().await?;
            Ok(read_path_info(channel, path).await?.path)
        }
        .await;
        self.talk.end(outcome)
    }

    /// Adds an item from its nar. With `check_signatures` the daemon refuses what no key that it trusts
    /// has signed; without, it must trust this user, or checks all the same.
    ///
    /// # Errors
    /// [`DaemonError::Daemon`] when the daemon refuses it, [`DaemonError::Stream`] when `nar` fails.
    pub async fn add_nar(
        &mut self,
        info: &PathInfo,
        nar: impl AsyncRead + Unpin,
        check_signatures: bool,
    ) -> Result<(), DaemonError> {
        let request = self.add_nar_request(info, check_signatures);
        let channel = self.talk.begin()?;
        let outcome = channel.call_framed(request, nar).await;
        self.talk.end(outcome)
    }

    /// Writes the nar of a path to `out`. The protocol does not tell where a nar ends, so `nar_size` must
    /// be the one that [`StoreDaemon::path_info`](crate::StoreDaemon::path_info) gives, and the hash is the caller's to check.
    ///
    /// # Errors
    /// [`DaemonError::Daemon`] when the path is not valid: Nix 2.8 hangs up after that, so see
    /// [`StoreDaemon::is_usable`](crate::StoreDaemon::is_usable). [`DaemonError::Stream`] when `out` fails.
    pub async fn nar(&mut self, path: &StorePath, nar_size: u64, mut out: impl AsyncWrite + Unpin) -> Result<(), DaemonError> {
        let request = self.talk.about(operation::NAR_FROM_PATH, path);
        let channel = self.talk.begin()?;
        if let Err(refusal) = channel.call(&request).await {
            return self.talk.end(Err(refusal));
        }
        receive_nar(channel, nar_size, &mut out).await?;
        self.talk.end(Ok(()))
    }

    fn add_nar_request(&self, info: &PathInfo, check_signatures: bool) -> Request {
        let store = self.talk.store_dir();
        let mut request = self.talk.about(operation::ADD_TO_STORE_NAR, &info.path);
        request.bytes(info.deriver.as_ref().map(|path| store.path(path)).unwrap_or_default());
        request.bytes(info.nar_hash.to_hex());
        request.list(info.references.iter().map(|path| store.path(path)));
        request.number(info.registered_unix_secs).number(info.nar_size).flag(info.ultimate);
        request.list(info.signatures.iter().map(ToString::to_string));
        request.bytes(info.content_address.as_ref().map(ToString::to_string).unwrap_or_default());
        request.flag(false); // repair
        request.flag(!check_signatures);
        request
    }
}

/// Where the first tag of a nar should be stands an error when the daemon found only after its answer
/// that there is no such path: it has written the magic word by then.
async fn receive_nar(channel: &mut Channel, nar_size: u64, out: &mut (impl AsyncWrite + Unpin)) -> Result<(), DaemonError> {
    let mut begin = Vec::with_capacity(NAR_BEGIN.len());
    channel.input.copy(NAR_MAGIC_BYTES, &mut begin).await?;
    let tag = channel.input.number().await?;
    if tag == ERROR {
        let refusal = read_error(&mut channel.input, Dialect::Nix).await?;
        return Err(DaemonError::from_daemon(refusal.message));
    }
    begin.extend(tag.to_le_bytes());
    if begin != NAR_BEGIN {
        return Err(DaemonError::protocol("what should be a nar does not begin like one"));
    }
    let rest = nar_size.checked_sub(NAR_BEGIN.len() as u64);
    let rest = rest.ok_or_else(|| DaemonError::protocol(format!("a nar of {nar_size} bytes")))?;
    out.write_all(NAR_BEGIN).await.map_err(DaemonError::Stream)?;
    channel.input.copy(rest, out).await
}
