//! Many messages on one stream, of which only the last is acknowledged. Each says which is to be right before it, and the
//! stream takes none out of turn: so it has all of them if it has the last.

use std::any::Any;

use async_nats::header::{NATS_EXPECTED_LAST_MESSAGE_ID, NATS_MESSAGE_ID};
use async_nats::jetstream::message::PublishMessage;
use drover_messages::{Format, Message, encode};

use crate::bus::PUBLISH_TIMEOUT;
use crate::{Bus, NatsError, Subject, header};

/// So many are sent before the next acknowledgement is awaited.
const RUN: usize = 512;

/// A message, where it goes, and its id.
pub type Addressed<M> = (Subject, M, String);

impl Bus {
    /// Publishes these, none of which may have been published before. An error says that some may be there and others not: then
    /// each has to be published by itself. So it is where somebody else publishes on the stream at the same time.
    pub async fn publish_in_turn<M: Message + Any>(&self, messages: &[Addressed<M>]) -> Result<(), NatsError> {
        for run in messages.chunks(RUN) {
            self.publish_run(run).await?;
        }
        Ok(())
    }

    async fn publish_run<M: Message + Any>(&self, run: &[Addressed<M>]) -> Result<(), NatsError> {
        let Some((last, first)) = run.split_last() else { return Ok(()) };
        let mut before: Option<&str> = None;
        for (subject, message, id) in first {
            let headers = headers(message, id, before);
            let what = || format!("publishing on {subject}");
            let sent = self.client().publish_with_headers(subject.to_string(), headers, encode(message));
            self.within(PUBLISH_TIMEOUT, what, sent).await?;
            before = Some(id);
        }
        let (subject, message, id) = last;
        let headers = headers(message, id, before);
        let message = PublishMessage::build().payload(encode(message)).headers(headers);
        self.send_to_stream(subject.to_string(), message).await?.await.map(drop)
    }
}

fn headers<M: Message + Any>(message: &M, id: &str, before: Option<&str>) -> async_nats::HeaderMap {
    let mut headers = header::of(message, Format::MessagePack);
    headers.insert(NATS_MESSAGE_ID, id);
    before.into_iter().for_each(|before| headers.insert(NATS_EXPECTED_LAST_MESSAGE_ID, before));
    headers
}
