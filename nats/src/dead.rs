//! What lies on the stream DEAD: what somebody sent and nobody could read, and what hooks gave up. Administrators look at
//! it; only the scheduler sends it again or throws it away, for it alone may send in the name of others.

use async_nats::HeaderMap;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use bytes::Bytes;
use drover_messages::{Format, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

use crate::bus::API_TIMEOUT;
use crate::filter::overlap;
use crate::streams::{self, DEAD, EVENTS};
use crate::{Bus, NatsError, Subject, header};

/// One message that was set aside.
#[derive(Debug, Clone)]
pub struct Dead {
    /// Its number on the stream DEAD.
    pub sequence: u64,
    /// When it was set aside, by the broker's clock.
    pub at: Timestamp,
    /// The stream it came from.
    pub stream: String,
    /// Its number there.
    pub number: u64,
    /// Why it was set aside.
    pub why: Why,
    /// It, where it lies here and not in the stream it came from.
    pub message: Option<SetAside>,
}

/// Why a message was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nobody could do anything with it; in words.
    Unusable(String),
    /// It was delivered to a hook pool too often.
    GivenUp {
        /// The pool's consumer.
        consumer: String,
        /// How often.
        deliveries: u64,
    },
}

/// A message that was set aside, as it came.
#[derive(Debug, Clone)]
pub struct SetAside {
    /// Where it had been published.
    pub came_on: String,
    /// What its sender says that it is.
    pub kind: Option<String>,
    /// How its body is written.
    pub format: Format,
    /// Its body.
    pub payload: Bytes,
}

/// Why nothing was done with a message that was set aside.
#[derive(Debug, thiserror::Error)]
pub enum DeadError {
    /// The stream DEAD has no message of this number.
    #[error("no message that was set aside has this number")]
    Unknown,
    /// It cannot be sent again.
    #[error("it cannot be sent again: {0}")]
    NotAgain(String),
    /// The broker did not do it.
    #[error(transparent)]
    Nats(#[from] NatsError),
}

/// What the broker says of a number that no message has any more, and of one that none has had yet.
const NOT_THERE: [&str; 2] = ["no message found", "stream store EOF"];

/// What the broker tells when it gives up.
#[derive(Deserialize)]
struct Advisory {
    stream: String,
    consumer: String,
    stream_seq: u64,
    deliveries: u64,
}

impl Bus {
    /// The first message that was set aside after the one of that number.
    pub async fn dead_after(&self, sequence: u64) -> Result<Option<Dead>, NatsError> {
        let mut from = sequence.saturating_add(1);
        while let Some(message) = self.stored(DEAD, from).await? {
            from = message.sequence + 1;
            if let Some(dead) = read(message) {
                return Ok(Some(dead));
            }
        }
        Ok(None)
    }

    /// The message that was set aside under this number.
    pub async fn dead(&self, sequence: u64) -> Result<Dead, DeadError> {
        let after = self.dead_after(sequence.saturating_sub(1)).await?;
        after.filter(|dead| dead.sequence == sequence).ok_or(DeadError::Unknown)
    }

    /// Sends a message that was set aside where it came from, under an id of its own, then takes it off the stream DEAD.
    pub async fn send_again(&self, sequence: u64) -> Result<(), DeadError> {
        let dead = self.dead(sequence).await?;
        let (subject, message) = match dead.message {
            // A hook pool may set aside what it likes: what happened is told by the stream of events alone.
            Some(set_aside) if dead.stream != EVENTS => (set_aside.came_on.clone(), set_aside.again()),
            _ => self.as_it_was(&dead.stream, dead.number).await?,
        };
        let subject = checked(&dead.stream, &subject)?;
        self.send_to_stream(subject.to_string(), message.message_id(Uuid::now_v7().to_string())).await?.await?;
        self.throw_away(sequence).await
    }

    /// Takes a message off the stream DEAD.
    pub async fn throw_away(&self, sequence: u64) -> Result<(), DeadError> {
        let what = || format!("deleting {sequence} from {DEAD}");
        let deleted = async {
            let stream: Stream<()> = self.jetstream().get_stream_no_info(DEAD).await.map_err(|e| e.to_string())?;
            match stream.delete_message(sequence).await {
                Ok(there) => Ok(there),
                Err(error) if NOT_THERE.iter().any(|words| error.to_string().contains(words)) => Ok(false),
                Err(error) => Err(error.to_string()),
            }
        };
        match self.within(API_TIMEOUT, what, deleted).await? {
            true => Ok(()),
            false => Err(DeadError::Unknown),
        }
    }

    /// A message that its stream still has.
    async fn as_it_was(&self, stream: &str, number: u64) -> Result<(String, PublishMessage), DeadError> {
        let stored = self.stored(stream, number).await?.filter(|message| message.sequence == number);
        let stored = stored.ok_or_else(|| DeadError::NotAgain(format!("the stream {stream} has let go of it")))?;
        let headers = carried(&stored.headers);
        Ok((stored.subject.to_string(), PublishMessage::build().payload(stored.payload).headers(headers)))
    }

    /// The first message of a stream from that number on.
    async fn stored(&self, stream: &str, from: u64) -> Result<Option<StreamMessage>, NatsError> {
        let what = || format!("reading {from} from {stream}");
        let got = async {
            let stream: Stream<()> = self.jetstream().get_stream_no_info(stream).await.map_err(|e| e.to_string())?;
            match stream.direct_get_builder().next_by_subject(">").sequence(from).send().await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        };
        self.within(API_TIMEOUT, what, got).await
    }
}

impl SetAside {
    fn again(self) -> PublishMessage {
        let mut headers = HeaderMap::new();
        if self.format == Format::Json {
            headers.insert(header::CONTENT_TYPE, header::JSON);
        }
        if let Some(kind) = self.kind {
            headers.insert(header::KIND, kind);
        }
        PublishMessage::build().payload(self.payload).headers(headers)
    }
}

/// A subject of Drover's that this stream captures: nothing else was ever set aside from it.
fn checked(stream: &str, subject: &str) -> Result<Subject, DeadError> {
    let plans = streams::all(&[]);
    let plan = plans.iter().find(|plan| plan.name == stream && stream != DEAD);
    let captured = plan.is_some_and(|plan| plan.subjects.iter().any(|captured| overlap(captured, subject)));
    match subject.parse() {
        Ok(subject) if captured => Ok(subject),
        Ok(_) => Err(DeadError::NotAgain(format!("{subject} is no subject of the stream {stream}"))),
        Err(error) => Err(DeadError::NotAgain(error.to_string())),
    }
}

/// Headers of the message itself, without those that the broker reads or adds.
fn carried(headers: &HeaderMap) -> HeaderMap {
    let mut carried = HeaderMap::new();
    for (name, values) in headers.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-")) {
        for value in values {
            carried.append(name.clone(), value.clone());
        }
    }
    carried
}

fn read(message: StreamMessage) -> Option<Dead> {
    let at = Timestamp(u64::try_from(message.time.unix_timestamp()).unwrap_or_default().saturating_mul(1000));
    let sequence = message.sequence;
    match message.subject.parse() {
        Ok(Subject::Dead { stream, sequence: number }) => {
            let said = |name| header::get(&message.headers, name);
            let why = Why::Unusable(said(header::REASON).unwrap_or_default().into());
            let set_aside = SetAside {
                came_on: said(header::CAME_ON).unwrap_or_default().into(),
                kind: said(header::KIND).map(Into::into),
                format: header::format(&message.headers),
                payload: message.payload.clone(),
            };
            Some(Dead { sequence, at, stream, number, why, message: Some(set_aside) })
        }
        _ => {
            let Advisory { stream, consumer, stream_seq, deliveries } = serde_json::from_slice(&message.payload).ok()?;
            let why = Why::GivenUp { consumer, deliveries };
            Some(Dead { sequence, at, stream, number: stream_seq, why, message: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";

    #[test]
    fn nothing_is_sent_where_its_stream_does_not_take_from() {
        assert!(checked("RES", &format!("res.{ID}.{ID}")).is_ok());
        assert!(checked("REQ", &format!("adm.cancel.{ID}.{ID}")).is_ok());
        for (stream, subject) in [("EVENTS", format!("req.submit.{ID}.{ID}")), ("RES", "done.publish.x y".into())] {
            assert!(matches!(checked(stream, &subject), Err(DeadError::NotAgain(_))), "{subject}");
        }
        assert!(checked("DEAD", "dead.RES.1").is_err());
        assert!(checked("other", &format!("res.{ID}.{ID}")).is_err());
    }
}
