//! One message from a stream, until it is settled: acknowledged, given back, or set aside.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, AckKind, message::PublishMessage};
use drover_messages::{DecodeError, Message, decode};
use tokio::time::timeout;

use crate::{Bus, Subject, header};

/// How long a settlement may take.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a message waits that was to be set aside and could not be.
const SET_ASIDE_AGAIN: Duration = Duration::from_secs(5);

/// A message from a stream. Dropped unsettled, it comes again. It may also come again when it was settled: whoever
/// reads it goes by the ids in it.
pub struct Delivery {
    /// Where it was published, as the server allowed it.
    pub subject: Subject,
    /// Its number in the stream; for people.
    pub sequence: u64,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    bus: Bus,
    raw: jetstream::Message,
}

impl Delivery {
    /// What was published on a subject that nobody may read is set aside at once, and is no delivery.
    pub(crate) fn new(bus: &Bus, raw: jetstream::Message) -> Option<Self> {
        let (sequence, deliveries) = match raw.info() {
            Ok(info) => (info.stream_sequence, info.delivered.max(1) as u64),
            Err(error) => {
                tracing::error!(%error, "a delivery without its number is ignored");
                return None;
            }
        };
        match raw.subject.parse() {
            Ok(subject) => Some(Self { subject, sequence, deliveries, bus: bus.clone(), raw }),
            Err(error) => {
                let bus = bus.clone();
                tokio::spawn(async move { set_aside(&bus, &raw, &format!("{error}")).await });
                None
            }
        }
    }

    /// Reads the body; as JSON where its header says so.
    pub fn decode<M: Message>(&self) -> Result<M, DecodeError> {
        decode(&self.raw.payload, self.raw.headers.as_ref().map_or(drover_messages::Format::MessagePack, header::format))
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

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.raw.headers.as_ref().and_then(|headers| header::get(headers, name))
    }

    /// It is done, and committed. Waits for the broker to know; where it does not, the message comes again.
    pub async fn ack(self) {
        settle(&self.raw, AckKind::Ack).await;
    }

    /// It is done, and committed, and it does no harm when it comes again: half the messages of [`Delivery::ack`]. Returns
    /// when it is on its way.
    pub async fn ack_unheard(self) {
        let said = timeout(SETTLE_TIMEOUT, self.raw.ack_with(AckKind::Ack)).await;
        if !matches!(said, Ok(Ok(()))) {
            tracing::debug!(subject = %self.subject, "could not tell that a message is settled; it comes again");
        }
    }

    /// It is still in work: say so well within [`crate::streams::ACK_WAIT`].
    pub async fn progress(&self) {
        let said = timeout(SETTLE_TIMEOUT, self.raw.ack_with(AckKind::Progress)).await;
        if !matches!(said, Ok(Ok(()))) {
            tracing::warn!(subject = %self.subject, "could not tell of progress; the message may be given to another as well");
        }
    }

    /// It cannot be done now: it comes again after `delay`, perhaps elsewhere.
    pub async fn give_back(self, delay: Duration) {
        settle(&self.raw, AckKind::Nak(Some(delay))).await;
    }

    /// It can never be done: it goes to the stream DEAD with the reason, and comes here no more.
    pub async fn set_aside(self, reason: &str) {
        set_aside(&self.bus, &self.raw, reason).await;
    }
}

async fn set_aside(bus: &Bus, raw: &jetstream::Message, reason: &str) {
    tracing::error!(subject = %raw.subject, reason, "a message is set aside, on the stream DEAD");
    let Ok(info) = raw.info() else { return };
    let subject = Subject::Dead { stream: info.stream.into(), sequence: info.stream_sequence };
    // A stream that was made again counts anew: the time tells its messages apart.
    let id = format!("{}.{}.{}", info.stream, info.stream_sequence, info.published);
    let message = PublishMessage::build().payload(raw.payload.clone()).headers(headers(raw, reason)).message_id(id);
    let stored = match bus.send_to_stream(&subject, message).await {
        Ok(acknowledgement) => acknowledgement.await.map(|_| ()),
        Err(error) => Err(error),
    };
    match stored {
        Ok(()) => settle(raw, AckKind::Ack).await,
        Err(error) => {
            tracing::error!(%error, "could not set a message aside; it comes again");
            settle(raw, AckKind::Nak(Some(SET_ASIDE_AGAIN))).await;
        }
    }
}

/// What a person needs to judge it: its own headers, why, and where it came from.
fn headers(raw: &jetstream::Message, reason: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [header::CONTENT_TYPE, header::KIND] {
        if let Some(value) = raw.headers.as_ref().and_then(|headers| header::get(headers, name)) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::REASON, header::words(reason));
    headers.insert(header::CAME_ON, raw.subject.as_str());
    headers
}

async fn settle(raw: &jetstream::Message, kind: AckKind) {
    match timeout(SETTLE_TIMEOUT, raw.double_ack_with(kind)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(subject = %raw.subject, %error, "the broker does not know that a message is settled"),
        Err(_) => tracing::warn!(subject = %raw.subject, "the broker does not know that a message is settled: no answer"),
    }
}
