//! Live logs: text on `log.<agent>.<build>.<attempt>`, for whoever follows. The finished log goes into the bucket.
//!
//! A log never holds up its build: writing does not wait, and what the broker does not take in time is dropped. The
//! next chunk then says how much is missing.

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use drover_messages::{AgentId, AttemptId, BuildId};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::{Acknowledgement, Bus, Incoming, Subject, header};

/// The largest chunk, in bytes.
pub const MAX_CHUNK_BYTES: usize = 64 << 10;
/// Chunks of one log that wait to be sent.
const MAX_WAITING_CHUNKS: usize = 64;
/// Chunks of one log that wait for their acknowledgement.
const MAX_UNACKED_CHUNKS: usize = 64;

/// One attempt's log, as it is written.
pub struct LogWriter {
    bus: Bus,
    subject: Subject,
    chunks: Option<mpsc::Sender<LogChunk>>,
    offset: u64,
    gap: u64,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// Bytes of the log before it, dropped ones included.
    pub offset: u64,
    /// Of these, the bytes right before it that were dropped.
    pub gap: u64,
    /// The text; a character may be cut at its ends.
    pub text: Bytes,
}

impl Bus {
    /// A log to write. Nothing is sent before there is text.
    pub fn log(&self, agent: AgentId, build: BuildId, attempt: AttemptId) -> LogWriter {
        let subject = Subject::Log { agent, build, attempt };
        LogWriter { bus: self.clone(), subject, chunks: None, offset: 0, gap: 0 }
    }
}

impl LogWriter {
    /// Sends text, without waiting and without a promise. Gather some first: a chunk costs the same for one line as for
    /// many.
    pub fn write(&mut self, text: &[u8]) {
        for piece in text.chunks(MAX_CHUNK_BYTES) {
            let chunk = LogChunk { offset: self.offset, gap: self.gap, text: Bytes::copy_from_slice(piece) };
            self.offset += piece.len() as u64;
            match self.sender().try_send(chunk) {
                Ok(()) => self.gap = 0,
                Err(_) => self.gap += piece.len() as u64,
            }
        }
    }

    fn sender(&mut self) -> &mpsc::Sender<LogChunk> {
        let (bus, subject) = (&self.bus, &self.subject);
        self.chunks.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(MAX_WAITING_CHUNKS);
            tokio::spawn(send_all(bus.clone(), subject.clone(), receiver));
            sender
        })
    }
}

/// Sends what comes, until the writer is gone and all is sent.
async fn send_all(bus: Bus, subject: Subject, mut chunks: mpsc::Receiver<LogChunk>) {
    let mut unacked: FuturesUnordered<Acknowledgement> = FuturesUnordered::new();
    while let Some(chunk) = chunks.recv().await {
        let offset = chunk.offset;
        match bus.send_to_stream(subject.to_string(), chunk.into_message()).await {
            Ok(ack) => unacked.push(ack),
            Err(error) => tracing::debug!(%subject, offset, %error, "a piece of a live log is lost"),
        }
        while unacked.len() >= MAX_UNACKED_CHUNKS {
            let _ = unacked.next().await;
        }
    }
    while unacked.next().await.is_some() {}
}

impl LogChunk {
    fn into_message(self) -> PublishMessage {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "text/plain");
        headers.insert(header::OFFSET, self.offset.to_string());
        if self.gap > 0 {
            headers.insert(header::GAP, self.gap.to_string());
        }
        PublishMessage::build().payload(self.text).headers(headers)
    }

    /// The chunk that came, if it is one.
    pub fn of(incoming: &Incoming) -> Option<Self> {
        let number = |name| incoming.header(name).and_then(|value| value.parse().ok());
        let offset = number(header::OFFSET)?;
        Some(Self { offset, gap: number(header::GAP).unwrap_or(0), text: incoming.payload.clone() })
    }
}
