//! Questions about what is in the store, and roots that keep it there.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use drover_store::{ContentAddress, Sha256, Signature, StorePath};

use super::channel::{Channel, within};
use super::{Connection, operation};
use crate::wire::{MAX_LIST_ITEMS, MAX_PATH_BYTES, Request};
use crate::{DaemonError, PathInfo};

/// The longest hash, signature or content address accepted from a daemon, in bytes.
const MAX_WORD_BYTES: u64 = 4 << 10;

impl Connection {
    /// Whether a path is in the store, whole.
    pub async fn is_valid(&mut self, path: &StorePath) -> Result<bool, DaemonError> {
        let request = self.about(operation::IS_VALID_PATH, path);
        let limit = self.reply_timeout();
        let channel = self.begin()?;
        let outcome = within(limit, "whether a path is valid", async {
            channel.call(&request).await?;
            channel.input.flag().await
        })
        .await;
        self.end(outcome)
    }

    /// Which of these paths are in the store, in one round trip. With `substitute` the daemon tries first
    /// to fetch those that are not, for as long as that takes.
    pub async fn query_valid(
        &mut self,
        paths: &BTreeSet<StorePath>,
        substitute: bool,
    ) -> Result<BTreeSet<StorePath>, DaemonError> {
        let mut request = Request::new(operation::QUERY_VALID_PATHS);
        request.list(paths.iter().map(|path| self.store_dir().path(path))).flag(substitute);
        let limit = self.reply_timeout();
        let channel = self.begin()?;
        let ask = async {
            channel.call(&request).await?;
            channel.store_paths().await
        };
        let outcome = if substitute { ask.await } else { within(limit, "which paths are valid", ask).await };
        self.end(outcome)
    }

    /// What the store knows about a path; `None` when it is not valid.
    pub async fn path_info(&mut self, path: &StorePath) -> Result<Option<PathInfo>, DaemonError> {
        let request = self.about(operation::QUERY_PATH_INFO, path);
        let limit = self.reply_timeout();
        let channel = self.begin()?;
        let outcome = within(limit, "about a path", async {
            channel.call(&request).await?;
            if channel.input.flag().await? { read_path_info(channel, path.clone()).await.map(Some) } else { Ok(None) }
        })
        .await;
        self.end(outcome)
    }

    /// Keeps a path from the garbage collector for as long as this connection lives, whether it is valid
    /// yet or not.
    pub async fn add_temp_root(&mut self, path: &StorePath) -> Result<(), DaemonError> {
        let request = self.about(operation::ADD_TEMP_ROOT, path);
        self.note(request, "a temporary root").await
    }

    /// Keeps from the garbage collector what the symlink `link` points to, for as long as it does. The
    /// link is the caller's to make.
    pub async fn add_indirect_root(&mut self, link: &Path) -> Result<(), DaemonError> {
        let mut request = Request::new(operation::ADD_INDIRECT_ROOT);
        request.bytes(link.as_os_str().as_bytes());
        self.note(request, "an indirect root").await
    }

    /// An operation with one path for its argument.
    pub(super) fn about(&self, operation: u64, path: &StorePath) -> Request {
        let mut request = Request::new(operation);
        request.bytes(self.store_dir().path(path));
        request
    }

    async fn note(&mut self, request: Request, what: &'static str) -> Result<(), DaemonError> {
        let limit = self.reply_timeout();
        let channel = self.begin()?;
        let outcome = within(limit, what, channel.command(&request)).await;
        self.end(outcome)
    }
}

/// `UnkeyedValidPathInfo` of Nix: all about a path but its name.
pub(super) async fn read_path_info(channel: &mut Channel, path: StorePath) -> Result<PathInfo, DaemonError> {
    let deriver = channel.input.text(MAX_PATH_BYTES).await?;
    let deriver = if deriver.is_empty() { None } else { Some(channel.parse_path(&deriver)?) };
    let nar_hash: Sha256 = parse(&channel.input.text(MAX_WORD_BYTES).await?)?;
    let references = channel.store_paths().await?;
    let registered_unix_secs = channel.input.number().await?;
    let nar_size = channel.input.number().await?;
    let ultimate = channel.input.flag().await?;
    let mut signatures: Vec<Signature> = Vec::new();
    for _ in 0..channel.input.count(MAX_LIST_ITEMS).await? {
        signatures.push(parse(&channel.input.text(MAX_WORD_BYTES).await?)?);
    }
    let content_address = channel.input.text(MAX_WORD_BYTES).await?;
    let content_address: Option<ContentAddress> = if content_address.is_empty() { None } else { Some(parse(&content_address)?) };
    Ok(PathInfo { path, deriver, nar_hash, nar_size, references, registered_unix_secs, ultimate, signatures, content_address })
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, DaemonError> {
    text.parse().map_err(|error: T::Err| DaemonError::protocol(error.to_string()))
}
