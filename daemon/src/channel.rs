//! The two directions of a connection, and the rhythm of every operation: request, frames, answer.

use std::io;
use std::time::Duration;

use drover_store::{StoreDir, StorePath};
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use crate::wire::{
    Frame, MAX_LIST_ITEMS, MAX_PATH_BYTES, Reader, Refusal, Request, Sent, Told, message, read_frame, send_framed,
};
use crate::{DaemonError, Dialect, Event};

/// A connection without the memory of whether both sides are in step.
#[derive(Debug)]
pub(crate) struct Channel {
    pub input: Reader<OwnedReadHalf>,
    output: OwnedWriteHalf,
    pub store: StoreDir,
    /// Nix's until the daemon has said what it is; nothing before that depends on it.
    pub dialect: Dialect,
    /// The daemon's process at the other end, where it is known.
    pub worker: Option<u32>,
}

impl Channel {
    pub fn new(stream: UnixStream, store: StoreDir) -> Self {
        let (input, output) = stream.into_split();
        Self { input: Reader::new(input), output, store, dialect: Dialect::Nix, worker: None }
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

    /// Reads frames up to the answer; the daemon's refusal becomes the error.
    pub async fn await_answer(&mut self, on_told: &mut (dyn FnMut(Told) + Send)) -> Result<(), DaemonError> {
        accept(await_answer(&mut self.input, self.dialect, on_told).await?)
    }

    /// Reads the next frame, for who wants to see what each says.
    pub async fn frame(&mut self) -> Result<Frame, DaemonError> {
        read_frame(&mut self.input, self.dialect).await
    }

    /// Sends a request with a framed stream behind it while reading frames, without which both sides
    /// could wait for each other with full buffers. Reads up to the answer.
    pub async fn call_framed(&mut self, request: Request, mut source: impl AsyncRead + Unpin) -> Result<(), DaemonError> {
        let answered = Notify::new();
        let send = send_framed(request.into_bytes(), &mut source, &mut self.output, &answered);
        let receive = async {
            let answer = await_answer(&mut self.input, self.dialect, &mut ignore).await;
            answered.notify_one();
            answer.and_then(accept)
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

    /// A store path in an answer, or an empty text for none.
    pub async fn optional_store_path(&mut self) -> Result<Option<StorePath>, DaemonError> {
        let absolute = self.input.text(MAX_PATH_BYTES).await?;
        if absolute.is_empty() { Ok(None) } else { self.parse_path(&absolute).map(Some) }
    }

    /// A list of store paths in an answer.
    pub async fn store_paths<C: Default + Extend<StorePath>>(&mut self) -> Result<C, DaemonError> {
        let mut paths = C::default();
        for _ in 0..self.input.count(MAX_LIST_ITEMS).await? {
            paths.extend([self.store_path().await?]);
        }
        Ok(paths)
    }

    fn parse_path(&self, absolute: &str) -> Result<StorePath, DaemonError> {
        self.store.parse(absolute).map_err(|error| DaemonError::protocol(error.to_string()))
    }
}

async fn await_answer(
    input: &mut Reader<OwnedReadHalf>,
    dialect: Dialect,
    on_told: &mut (dyn FnMut(Told) + Send),
) -> Result<Result<(), Refusal>, DaemonError> {
    loop {
        match read_frame(input, dialect).await? {
            Frame::Told(told) => on_told(told),
            Frame::Last => return Ok(Ok(())),
            Frame::Error(refusal) => return Ok(Err(refusal)),
        }
    }
}

fn accept(answer: Result<(), Refusal>) -> Result<(), DaemonError> {
    answer.map_err(|refusal| DaemonError::from_daemon(refusal.message))
}

/// For operations whose events nobody follows; what the daemon says in words may still help somebody.
fn ignore(told: Told) {
    match told {
        Told::Text(text) => tracing::debug!(text = message(&text), "the store daemon says"),
        Told::Event(Event::Message(text)) => tracing::debug!(%text, "the store daemon says"),
        Told::Event(_) | Told::Nothing => {}
    }
}

/// Bounds the time of a conversation.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &'static str,
    conversation: impl Future<Output = Result<T, DaemonError>>,
) -> Result<T, DaemonError> {
    tokio::time::timeout(limit, conversation).await.unwrap_or(Err(DaemonError::Timeout { what, limit }))
}

/// The error of using a connection that was given up.
pub(crate) fn given_up() -> DaemonError {
    DaemonError::Lost(io::Error::new(io::ErrorKind::NotConnected, "an earlier operation was cut off"))
}
