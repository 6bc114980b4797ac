//! Questions about what is in the store, and texts that come into it.

use std::collections::BTreeSet;

use drover_store::StorePath;

use super::{Connection, operation};
use crate::channel::{Channel, within};
use crate::wire::{MAX_WORD_BYTES, Request};
use crate::{DaemonError, PathInfo};

impl Connection {
    pub(super) async fn ask_valid(&mut self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, DaemonError> {
        let mut request = Request::new(operation::QUERY_VALID_PATHS);
        request.list(paths.iter().map(|path| self.talk.store_dir().path(path)));
        let limit = self.talk.reply_timeout();
        let channel = self.talk.begin()?;
        let outcome = within(limit, "which paths are valid", async {
            channel.call(&request).await?;
            channel.store_paths().await
        })
        .await;
        self.talk.end(outcome)
    }

    /// That a path is not valid is told as an error, by its words alone.
    pub(super) async fn ask_path_info(&mut self, path: &StorePath) -> Result<Option<PathInfo>, DaemonError> {
        let request = self.talk.about(operation::QUERY_PATH_INFO, path);
        let limit = self.talk.reply_timeout();
        let channel = self.talk.begin()?;
        let outcome = within(limit, "about a path", async {
            match channel.call(&request).await {
                Err(DaemonError::Daemon(why)) if why.ends_with("is not valid") => return Ok(None),
                answer => answer?,
            }
            read_path_info(channel, path.clone()).await.map(Some)
        })
        .await;
        self.talk.end(outcome)
    }

    pub(super) async fn send_text(
        &mut self,
        name: &str,
        contents: &[u8],
        references: &[StorePath],
    ) -> Result<StorePath, DaemonError> {
        let mut request = Request::new(operation::ADD_TEXT_TO_STORE);
        request.bytes(name).bytes(contents);
        request.list(references.iter().map(|path| self.talk.store_dir().path(path)));
        let channel = self.talk.begin()?;
        let outcome = add_text(channel, &request).await;
        self.talk.end(outcome)
    }
}

async fn add_text(channel: &mut Channel, request: &Request) -> Result<StorePath, DaemonError> {
    channel.call(request).await?;
    channel.store_path().await
}

/// What Guix keeps of a path: nothing of signatures, nor of how its name came about.
async fn read_path_info(channel: &mut Channel, path: StorePath) -> Result<PathInfo, DaemonError> {
    Ok(PathInfo {
        path,
        deriver: channel.optional_store_path().await?,
        nar_hash: channel.input.parsed(MAX_WORD_BYTES).await?,
        references: channel.store_paths().await?,
        registered_unix_secs: channel.input.number().await?,
        nar_size: channel.input.number().await?,
        ultimate: false,
        signatures: Vec::new(),
        content_address: None,
    })
}
