//! One conversation with a daemon, whether it can go on, and the operations that both dialects say in the same words.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use drover_store::{StoreDir, StorePath};

use crate::channel::{Channel, given_up, within};
use crate::wire::Request;
use crate::{DaemonError, ProtocolVersion};

/// The numbers of the operations that are the same in both dialects.
mod operation {
    pub const IS_VALID_PATH: u64 = 1;
    pub const ENSURE_PATH: u64 = 10;
    pub const ADD_TEMP_ROOT: u64 = 11;
    pub const ADD_INDIRECT_ROOT: u64 = 12;
    pub const COLLECT_GARBAGE: u64 = 20;
}

/// Of a collection of garbage: to delete the given paths only.
const DELETE_SPECIFIC: u64 = 3;

/// A channel that knows whether both sides are in step.
#[derive(Debug)]
pub(crate) struct Conversation {
    channel: Channel,
    protocol: ProtocolVersion,
    in_step: bool,
    reply_timeout: Duration,
}

impl Conversation {
    pub fn new(channel: Channel, protocol: ProtocolVersion, reply_timeout: Duration) -> Self {
        Self { channel, protocol, in_step: true, reply_timeout }
    }

    pub fn protocol(&self) -> ProtocolVersion {
        self.protocol
    }

    pub fn store_dir(&self) -> &StoreDir {
        &self.channel.store
    }

    pub fn worker(&self) -> Option<u32> {
        self.channel.worker
    }

    pub fn is_usable(&self) -> bool {
        self.in_step
    }

    pub fn reply_timeout(&self) -> Duration {
        self.reply_timeout
    }

    /// Begins an operation. Until [`Conversation::end`] the conversation counts as out of step, so that an
    /// operation that is dropped half-way leaves it so.
    pub fn begin(&mut self) -> Result<&mut Channel, DaemonError> {
        if !std::mem::replace(&mut self.in_step, false) {
            return Err(given_up());
        }
        Ok(&mut self.channel)
    }

    /// Ends an operation.
    pub fn end<T>(&mut self, outcome: Result<T, DaemonError>) -> Result<T, DaemonError> {
        self.in_step = match &outcome {
            Ok(_) => true,
            Err(error) => error.leaves_in_step(),
        };
        outcome
    }

    /// An operation with one path for its argument.
    pub fn about(&self, operation: u64, path: &StorePath) -> Request {
        let mut request = Request::new(operation);
        request.bytes(self.store_dir().path(path));
        request
    }

    pub async fn is_valid(&mut self, path: &StorePath) -> Result<bool, DaemonError> {
        let request = self.about(operation::IS_VALID_PATH, path);
        let limit = self.reply_timeout;
        let channel = self.begin()?;
        let outcome = within(limit, "whether a path is valid", async {
            channel.call(&request).await?;
            channel.input.flag().await
        })
        .await;
        self.end(outcome)
    }

    pub async fn add_temp_root(&mut self, path: &StorePath) -> Result<(), DaemonError> {
        let request = self.about(operation::ADD_TEMP_ROOT, path);
        self.note(request, "a temporary root").await
    }

    pub async fn add_indirect_root(&mut self, link: &Path) -> Result<(), DaemonError> {
        let mut request = Request::new(operation::ADD_INDIRECT_ROOT);
        request.bytes(link.as_os_str().as_bytes());
        self.note(request, "an indirect root").await
    }

    pub async fn ensure(&mut self, path: &StorePath) -> Result<(), DaemonError> {
        let request = self.about(operation::ENSURE_PATH, path);
        let channel = self.begin()?;
        let outcome = channel.command(&request).await;
        self.end(outcome)
    }

    pub async fn delete(&mut self, path: &StorePath) -> Result<bool, DaemonError> {
        let mut request = Request::new(operation::COLLECT_GARBAGE);
        request.number(DELETE_SPECIFIC).list([self.store_dir().path(path)].iter());
        request.flag(false); // not what is alive
        request.number(u64::MAX); // bytes to delete at most
        request.number(0).number(0).number(0); // obsolete
        let channel = self.begin()?;
        let outcome = delete(channel, &request).await;
        self.end(outcome)
    }

    async fn note(&mut self, request: Request, what: &'static str) -> Result<(), DaemonError> {
        let limit = self.reply_timeout;
        let channel = self.begin()?;
        let outcome = within(limit, what, channel.command(&request)).await;
        self.end(outcome)
    }
}

/// Both daemons tell that something keeps the path only in their message.
async fn delete(channel: &mut Channel, request: &Request) -> Result<bool, DaemonError> {
    match channel.call(request).await {
        Err(DaemonError::Daemon(why)) if why.contains("still alive") => return Ok(false),
        other => other?,
    }
    channel.store_paths::<Vec<StorePath>>().await?;
    channel.input.number().await?; // bytes freed
    channel.input.number().await?; // obsolete
    Ok(true)
}
