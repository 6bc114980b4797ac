//! The two directions of a connection, and the rhythm of every operation: request, log frames, answer.

use std::io;
use std::time::Duration;

use drover_store::{StoreDir, StorePath};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use crate::wire::{Frame, MAX_LIST_ITEMS, MAX_PATH_BYTES, Reader, Request, Sent, read_frame, send_framed};
use crate::{DaemonError, Event};

/// A connection without the memory of whether both sides are in step.
#[derive(Debug)]
pub(super) struct Channel {
    pub input: Reader<OwnedReadHalf>,
    output: OwnedWriteHalf,
    pub store: StoreDir,
}

impl Channel {
    pub fn new(stream: UnixStream, store: StoreDir) -> Self {
        let (input, output) = stream.into_split();
        Self { input: Reader::new(input), output, store }
    }

    /// Sends a request in one write.
    pub async fn send(&mut self, request: &Request) -> Result<(), DaemonError> {
        self.output.write_all(request.as_bytes()).await.map_err(DaemonError::Lost)
    }

    /// Sends a request and reads up to its answer, which the caller then reads.
    pub async fn call(&mut self, request: &Request) -> Result<(), DaemonError> {
        self.send(request).await?;
        self.await_answer(&mut ignore).await
    }

    /// Like [`Channel::call`] for operations whose answer is the number 1 and says nothing.
    pub async fn command(&mut self, request: &Request) -> Result<(), DaemonError> {
        self.call(request).await?;
        self.input.number().await.map(drop)
    }

    /// Reads log frames up to the answer; the daemon's refusal becomes the error.
    pub async fn await_answer(&mut self, on_event: &mut impl FnMut(Event)) -> Result<(), DaemonError> {
        await_answer(&mut self.input, on_event).await
    }

    /// Sends a request with a framed stream behind it while reading log frames, without which both sides
    /// could wait for each other with full buffers. Reads up to the answer.
    pub async fn call_framed(&mut self, request: Request, mut source: impl AsyncRead + Unpin) -> Result<(), DaemonError> {
        let answered = Notify::new();
        let send = send_framed(request.into_bytes(), &mut source, &mut self.output, &answered);
        let receive = async {
            let answer = await_answer(&mut self.input, &mut ignore).await;
            answered.notify_one();
            answer
        };
        match tokio::join!(send, receive) {
            (Ok(Sent::SourceFailed(error)), Ok(()) | Err(DaemonError::Daemon(_))) => Err(DaemonError::Stream(error)),
            (_, Err(error)) => Err(error),
            (Err(error), Ok(())) => Err(error),
            (Ok(_), Ok(())) => Ok(()),
        }
    }

    /// A store path in an answer.
    pub async fn store_path(&mut self) -> Result<StorePath, DaemonError> {
        let absolute = self.input.text(MAX_PATH_BYTES).await?;
        self.parse_path(&absolute)
    }

    /// A list of store paths in an answer.
    pub async fn store_paths<C: Default + Extend<StorePath>>(&mut self) -> Result<C, DaemonError> {
        let mut paths = C::default();
        for _ in 0..self.input.count(MAX_LIST_ITEMS).await? {
            paths.extend([self.store_path().await?]);
        }
        Ok(paths)
    }

    pub fn parse_path(&self, absolute: &str) -> Result<StorePath, DaemonError> {
        self.store.parse(absolute).map_err(|error| DaemonError::protocol(error.to_string()))
    }
}

async fn await_answer(input: &mut Reader<OwnedReadHalf>, on_event: &mut impl FnMut(Event)) -> Result<(), DaemonError> {
    loop {
        match read_frame(input).await? {
            Frame::Told(event) => {
                if let Some(event) = event {
                    on_event(event);
                }
            }
            Frame::Last => return Ok(()),
            Frame::Error(why) => return Err(DaemonError::from_daemon(why)),
        }
    }
}

/// For operations whose events nobody follows; what the daemon says in words may still help somebody.
fn ignore(event: Event) {
    if let Event::Message(text) = event {
        tracing::debug!(%text, "the store daemon says");
    }
}

/// Bounds the time of a conversation.
pub(super) async fn within<T>(
    limit: Duration,
    what: &'static str,
    conversation: impl Future<Output = Result<T, DaemonError>>,
) -> Result<T, DaemonError> {
    tokio::time::timeout(limit, conversation).await.unwrap_or(Err(DaemonError::Timeout { what, limit }))
}

/// The error of using a connection that was given up.
pub(super) fn given_up() -> DaemonError {
    DaemonError::Lost(io::Error::new(io::ErrorKind::NotConnected, "an earlier operation was cut off"))
}
