//! Questions about what is in the store.

use std::collections::BTreeSet;

use drover_store::{ContentAddress, Sha256, Signature, StorePath};

use super::{Connection, operation};
use crate::channel::{Channel, within};
use crate::wire::{MAX_LIST_ITEMS, MAX_WORD_BYTES, Request};
use crate::{DaemonError, PathInfo};

impl Connection {
    pub(super) async fn ask_valid(&mut self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, DaemonError> {
        let mut request = Request::new(operation::QUERY_VALID_PATHS);
        request.list(paths.iter().map(|path| self.talk.store_dir().path(path)));
        request.flag(false); // substitute them
        let limit = self.talk.reply_timeout();
        let channel = self.talk.begin()?;
        let outcome = within(limit, "which paths are valid", async {
            channel.call(&request).await?;
            channel.store_paths().await
        })
        .await;
        self.talk.end(outcome)
    }

    pub(super) async fn ask_path_info(&mut self, path: &StorePath) -> Result<Option<PathInfo>, DaemonError> {
        let request = self.talk.about(operation::QUERY_PATH_INFO, path);
        let limit = self.talk.reply_timeout();
        let channel = self.talk.begin()?;
        let outcome = within(limit, "about a path", async {
            channel.call(&request).await?;
            if channel.input.flag().await? { read_path_info(channel, path.clone()).await.map(Some) } else { Ok(None) }
        })
        .await;
        self.talk.end(outcome)
    }
}

/// `UnkeyedValidPathInfo` of Nix: all about a path but its name.
pub(super) async fn read_path_info(channel: &mut Channel, path: StorePath) -> Result<PathInfo, DaemonError> {
    let deriver = channel.optional_store_path().await?;
    let nar_hash: Sha256 = channel.input.parsed(MAX_WORD_BYTES).await?;
    let references = channel.store_paths().await?;
    let registered_unix_secs = channel.input.number().await?;
    let nar_size = channel.input.number().await?;
    let ultimate = channel.input.flag().await?;
    let mut signatures: Vec<Signature> = Vec::new();
    for _ in 0..channel.input.count(MAX_LIST_ITEMS).await? {
        signatures.push(channel.input.parsed(MAX_WORD_BYTES).await?);
    }
    let content_address = read_content_address(channel).await?;
    Ok(PathInfo { path, deriver, nar_hash, nar_size, references, registered_unix_secs, ultimate, signatures, content_address })
}

async fn read_content_address(channel: &mut Channel) -> Result<Option<ContentAddress>, DaemonError> {
    let text = channel.input.text(MAX_WORD_BYTES).await?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: drover_store::ParseError| DaemonError::protocol(error.to_string()))
}
