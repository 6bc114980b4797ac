//! Messages that travel together, as one for the broker: it stores, delivers and acknowledges them once. They are taken
//! apart where they are read, see [`crate::Delivery`].

use std::any::Any;

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use drover_messages::bundle::{self, Part};
use drover_messages::{Format, Message, encode};
use uuid::Uuid;

use crate::{Acknowledgement, Bus, NatsError, Subject, header};

/// What the subject of a bundle ends in, in place of that in which the subjects of its messages differ.
pub(crate) const BUNDLE: &str = "bundle";
/// The most that travels together, in messages and in bytes.
pub const MAX_TOGETHER: usize = 64;
const MAX_TOGETHER_BYTES: usize = 128 << 10;

/// Messages that go out together, and how many they are.
pub struct Lot {
    subject: String,
    message: PublishMessage,
    len: usize,
}

impl Lot {
    /// The first of these messages, with those right behind it that can travel with it: their subjects differ in the last token
    /// alone, and there is room. `None` if there are none.
    pub fn first_of<M: Message + Any>(messages: &[(Subject, M)]) -> Option<Self> {
        let (subject, first) = messages.first()?;
        let subject = subject.to_string();
        let (place, to) = subject.rsplit_once('.')?;
        let mut parts = vec![Part { to: to.into(), message: encode(first) }];
        let mut bytes = parts[0].message.len();
        for (subject, message) in &messages[1..] {
            let subject = subject.to_string();
            let Some((_, to)) = subject.rsplit_once('.').filter(|(theirs, _)| *theirs == place) else { break };
            let message = encode(message);
            bytes += message.len();
            if bytes > MAX_TOGETHER_BYTES || parts.len() == MAX_TOGETHER {
                break;
            }
            parts.push(Part { to: to.into(), message });
        }
        Some(match parts.as_slice() {
            [only] => Self::new(subject.clone(), header::of(first, Format::MessagePack), only.message.clone(), 1),
            parts => {
                Self::new(format!("{place}.{BUNDLE}"), header::of_bundle::<M>(parts.len()), bundle::encode(parts), parts.len())
            }
        })
    }

    fn new(subject: String, headers: HeaderMap, payload: bytes::Bytes, len: usize) -> Self {
        Self { subject, message: PublishMessage::build().payload(payload).headers(headers), len }
    }

    /// How many messages it is. Never none.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Bus {
    /// Publishes a lot on a stream and waits until the stream has it. Under a message id of its own: what is sent again is there
    /// again.
    pub async fn publish_lot(&self, lot: Lot) -> Result<(), NatsError> {
        self.start_publish_lot(lot).await?.await.map(drop)
    }

    /// The same, but hands back the acknowledgement, so that many can be in flight.
    pub async fn start_publish_lot(&self, lot: Lot) -> Result<Acknowledgement, NatsError> {
        self.send_to_stream(lot.subject, lot.message.message_id(Uuid::now_v7().to_string())).await
    }
}
