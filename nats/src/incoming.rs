//! A message that was sent to this process directly, and the answer to it.

use async_nats::jetstream::message::StreamMessage;
use async_nats::service::{self, error::Error as ServiceError};
use async_nats::{Client, HeaderMap, Subscriber};
use bytes::Bytes;
use drover_messages::query::Problem;
use drover_messages::{DecodeError, Format, Message, decode, encode, envelope};
use futures::StreamExt;
use std::any::Any;
use tokio::time::timeout;

use crate::bus::TELL_TIMEOUT;
use crate::{NatsError, Subject, header};

/// The code that the micro service protocol wants for a request that cannot be served.
const BAD_REQUEST: usize = 400;

/// A message, with who sent it and about what in its subject.
pub struct Incoming {
    /// Where it was sent, as the server allowed it.
    pub subject: Subject,
    /// Its body.
    pub payload: Bytes,
    headers: HeaderMap,
    answer: Answer,
}

/// Where the answer goes.
enum Answer {
    Nowhere,
    To {
        client: Client,
        reply: async_nats::Subject,
    },
    /// By way of the micro service, which counts it.
    Service(Box<service::Request>),
}

impl Incoming {
    fn new(client: &Client, message: async_nats::Message) -> Option<Self> {
        let answer = match message.reply.clone() {
            Some(reply) => Answer::To { client: client.clone(), reply },
            None => Answer::Nowhere,
        };
        Self::with(message, answer)
    }

    pub(crate) fn of_service(request: service::Request) -> Option<Self> {
        let message = request.message.clone();
        let answer = if message.reply.is_some() { Answer::Service(Box::new(request)) } else { Answer::Nowhere };
        Self::with(message, answer)
    }

    pub(crate) fn of_stored(message: StreamMessage) -> Option<Self> {
        let subject = known(&message.subject)?;
        Some(Self { subject, payload: message.payload, headers: message.headers, answer: Answer::Nowhere })
    }

    fn with(message: async_nats::Message, answer: Answer) -> Option<Self> {
        let subject = known(&message.subject)?;
        Some(Self { subject, payload: message.payload, headers: message.headers.unwrap_or_default(), answer })
    }

    /// Reads the body; as JSON where its header says so.
    pub fn decode<M: Message>(&self) -> Result<M, DecodeError> {
        decode(&self.payload, header::format(&self.headers))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        header::get(&self.headers, name)
    }

    /// Answers, in the way that the question was written. Where no answer is awaited this does nothing.
    pub async fn respond<M: Message + Any>(&self, message: &M) -> Result<(), NatsError> {
        let format = header::format(&self.headers);
        let packed = encode(message);
        let payload = match format {
            Format::MessagePack => packed,
            Format::Json => envelope::to_json(&packed).map_or(packed, |json| json.to_string().into()),
        };
        self.send(Ok(payload), header::of(message, format)).await
    }

    /// Answers that it cannot be done, and why.
    pub async fn problem(&self, why: &str) -> Result<(), NatsError> {
        match &self.answer {
            Answer::Service(_) => {
                let error = ServiceError { status: header::words(why), code: BAD_REQUEST };
                self.send(Err(error), HeaderMap::new()).await
            }
            _ => self.respond(&Problem { message: why.into() }).await,
        }
    }

    async fn send(&self, payload: Result<Bytes, ServiceError>, headers: HeaderMap) -> Result<(), NatsError> {
        let sent = async {
            match (&self.answer, payload) {
                (Answer::Service(request), payload) => request.respond_with_headers(payload, headers).await,
                (Answer::To { client, reply }, Ok(payload)) => client.publish_with_headers(reply.clone(), headers, payload).await,
                (Answer::Nowhere, _) | (Answer::To { .. }, Err(_)) => Ok(()),
            }
        };
        let what = || format!("answering {}", self.subject);
        match timeout(TELL_TIMEOUT, sent).await {
            Err(_) => Err(NatsError::Timeout { what: what(), within: TELL_TIMEOUT }),
            Ok(sent) => sent.map_err(|error| NatsError::Refused { what: what(), why: error.to_string() }),
        }
    }
}

/// Messages as they come. What was sent while the connection was gone is lost.
pub struct Subscription {
    client: Client,
    subscriber: Subscriber,
}

impl Subscription {
    pub(crate) fn new(client: Client, subscriber: Subscriber) -> Self {
        Self { client, subscriber }
    }

    /// The next message. Nothing is lost when this is dropped before it is done. `None` never comes while the
    /// connection lives.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            let message = self.subscriber.next().await?;
            if let Some(incoming) = Incoming::new(&self.client, message) {
                return Some(incoming);
            }
        }
    }
}

/// The subject, where it is one of ours. Others can only come from an operator's hand.
fn known(subject: &str) -> Option<Subject> {
    subject.parse().inspect_err(|error| tracing::warn!(%error, "a message is ignored")).ok()
}
