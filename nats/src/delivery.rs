//! One message from a stream, until it is settled: acknowledged, given back, or set aside. What came in a bundle is as if it
//! had come by itself; only the broker hears of all of it at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, AckKind, message::PublishMessage};
use bytes::Bytes;
use drover_messages::bundle::{self, Part};
use drover_messages::{DecodeError, Format, Message, decode};
use tokio::time::timeout;

use crate::lot::BUNDLE;
use crate::{Bus, Subject, SubjectError, header};

/// How long a settlement may take.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a message waits that was to be set aside and could not be.
const SET_ASIDE_AGAIN: Duration = Duration::from_secs(5);

/// A message from a stream. Dropped unsettled, it comes again, with all of its bundle. It may also come again when it was
/// settled: whoever reads it goes by the ids in it.
pub struct Delivery {
    /// Where it was published, as the server allowed it.
    pub subject: Subject,
    /// Its number in the stream; for people.
    pub sequence: u64,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    piece: Piece,
}

/// A message, or one of a bundle, of which it is not known yet whether anybody may read it.
struct Piece {
    bus: Bus,
    parcel: Arc<Parcel>,
    subject: String,
    payload: Bytes,
    /// Which of its bundle.
    n: usize,
}

/// What the broker delivered.
struct Parcel {
    raw: jetstream::Message,
    left: Mutex<Left>,
}

/// Messages that are not settled yet, and how soon those come again that were given back.
struct Left {
    messages: usize,
    again_in: Option<Duration>,
}

impl Parcel {
    /// One of its messages is settled. After the last of them, what the broker is to hear.
    fn settle(&self, again_in: Option<Duration>) -> Option<AckKind> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.messages = left.messages.saturating_sub(1);
        left.again_in = left.again_in.max(again_in);
        let kind = left.again_in.map_or(AckKind::Ack, |delay| AckKind::Nak(Some(delay)));
        (left.messages == 0).then_some(kind)
    }
}

impl Delivery {
    /// What the broker delivered, taken apart if it is a bundle. What was published on a subject that nobody may read is set
    /// aside at once, and is no delivery; so is a bundle that cannot be read.
    pub(crate) fn unpack(bus: &Bus, raw: jetstream::Message) -> Vec<Self> {
        let (sequence, deliveries) = match raw.info() {
            Ok(info) => (info.stream_sequence, info.delivered.max(1) as u64),
            Err(error) => {
                tracing::error!(%error, "a delivery without its number is ignored");
                return Vec::new();
            }
        };
        let parts = unbundle(&raw);
        let (whole, payload) = (raw.subject.to_string(), raw.payload.clone());
        let messages = parts.as_ref().map_or(1, |parts| parts.as_ref().map_or(1, |(_, parts)| parts.len()));
        let parcel = Arc::new(Parcel { raw, left: Mutex::new(Left { messages, again_in: None }) });
        let piece = |subject, payload, n| Piece { bus: bus.clone(), parcel: parcel.clone(), subject, payload, n };
        let pieces: Vec<Piece> = match parts {
            Ok(None) => vec![piece(whole, payload, 0)],
            Ok(Some((place, parts))) => {
                let part = |(n, Part { to, message })| piece(format!("{place}{to}"), message, n);
                parts.into_iter().enumerate().map(part).collect()
            }
            Err(why) => {
                piece(whole, payload, 0).leave_aside(why);
                return Vec::new();
            }
        };
        let readable = pieces.into_iter().filter_map(|piece| match piece.subject.parse() {
            Ok(subject) => Some(Self { subject, sequence, deliveries, piece }),
            Err(error) => {
                piece.leave_aside(SubjectError::to_string(&error));
                None
            }
        });
        readable.collect()
    }

    /// Reads the body; as JSON where its header says so.
    pub fn decode<M: Message>(&self) -> Result<M, DecodeError> {
        let headers = self.piece.parcel.raw.headers.as_ref().filter(|_| self.piece.is_alone());
        decode(&self.piece.payload, headers.map_or(Format::MessagePack, header::format))
    }

    /// Reads the body, or sets the message aside.
    pub async fn decode_or_set_aside<M: Message>(self) -> Option<(M, Self)> {
        match self.decode() {
            Ok(message) => Some((message, self)),
            Err(error) => {
                self.set_aside(&error.to_string()).await;
                None
            }
        }
    }

    /// It is done, and committed. Waits for the broker to know; where it does not, the message comes again.
    pub async fn ack(self) {
        self.piece.settle(None).await;
    }

    /// It is done, and committed, and it does no harm when it comes again: half the messages of [`Delivery::ack`]. Returns
    /// when it is on its way.
    pub async fn ack_unheard(self) {
        let Some(kind) = self.piece.parcel.settle(None) else { return };
        let said = timeout(SETTLE_TIMEOUT, self.piece.parcel.raw.ack_with(kind)).await;
        if !matches!(said, Ok(Ok(()))) {
            tracing::debug!(subject = %self.subject, "could not tell that a message is settled; it comes again");
        }
    }

    /// It is still in work: say so well within [`crate::streams::ACK_WAIT`].
    pub async fn progress(&self) {
        let said = timeout(SETTLE_TIMEOUT, self.piece.parcel.raw.ack_with(AckKind::Progress)).await;
        if !matches!(said, Ok(Ok(()))) {
            tracing::warn!(subject = %self.subject, "could not tell of progress; the message may be given to another as well");
        }
    }

    /// It cannot be done now: it comes again after `delay`, perhaps elsewhere, when all of its bundle is settled.
    pub async fn give_back(self, delay: Duration) {
        self.piece.settle(Some(delay)).await;
    }

    /// It can never be done: it goes to the stream DEAD with the reason, and comes here no more.
    pub async fn set_aside(self, reason: &str) {
        self.piece.set_aside(reason).await;
    }
}

/// What is in a bundle, and the place where it was sent, in which each part has a subject of its own; nothing, where it is no
/// bundle.
fn unbundle(raw: &jetstream::Message) -> Result<Option<(String, Vec<Part>)>, String> {
    let Some(place) = raw.subject.strip_suffix(BUNDLE).filter(|place| place.ends_with('.')) else { return Ok(None) };
    match bundle::decode(&raw.payload) {
        Ok(parts) if parts.is_empty() => Err("a bundle of nothing".into()),
        Ok(parts) => Ok(Some((place.into(), parts))),
        Err(error) => Err(error.to_string()),
    }
}

impl Piece {
    /// It came by itself, and its headers are its own.
    fn is_alone(&self) -> bool {
        self.subject == self.parcel.raw.subject.as_str()
    }

    async fn settle(&self, again_in: Option<Duration>) {
        if let Some(kind) = self.parcel.settle(again_in) {
            settle(&self.parcel.raw, kind).await;
        }
    }

    /// Sets it aside, and does not wait for that.
    fn leave_aside(self, reason: String) {
        tokio::spawn(async move { self.set_aside(&reason).await });
    }

    async fn set_aside(&self, reason: &str) {
        tracing::error!(subject = self.subject, reason, "a message is set aside, on the stream DEAD");
        let Ok(info) = self.parcel.raw.info() else { return };
        let subject = Subject::Dead { stream: info.stream.into(), sequence: info.stream_sequence };
        // A stream that was made again counts anew: the time tells its messages apart.
        let id = format!("{}.{}.{}.{}", info.stream, info.stream_sequence, info.published, self.n);
        let message = PublishMessage::build().payload(self.payload.clone()).headers(self.headers(reason)).message_id(id);
        let stored = match self.bus.send_to_stream(subject.to_string(), message).await {
            Ok(acknowledgement) => acknowledgement.await.map(|_| ()),
            Err(error) => Err(error),
        };
        match stored {
            Ok(()) => self.settle(None).await,
            Err(error) => {
                tracing::error!(%error, "could not set a message aside; it comes again");
                self.settle(Some(SET_ASIDE_AGAIN)).await;
            }
        }
    }

    /// What a person needs to judge it: its own headers, why, and where it came from.
    fn headers(&self, reason: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let kind = if self.is_alone() { header::KIND } else { header::OF };
        for (name, from) in [(header::CONTENT_TYPE, header::CONTENT_TYPE), (header::KIND, kind)] {
            if let Some(value) = self.parcel.raw.headers.as_ref().and_then(|headers| header::get(headers, from)) {
                headers.insert(name, value);
            }
        }
        headers.insert(header::REASON, header::words(reason));
        headers.insert(header::CAME_ON, self.subject.as_str());
        headers
    }
}

async fn settle(raw: &jetstream::Message, kind: AckKind) {
    match timeout(SETTLE_TIMEOUT, raw.double_ack_with(kind)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(subject = %raw.subject, %error, "the broker does not know that a message is settled"),
        Err(_) => tracing::warn!(subject = %raw.subject, "the broker does not know that a message is settled: no answer"),
    }
}
