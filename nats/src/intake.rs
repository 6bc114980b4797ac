//! A durable consumer as an endless stream of deliveries. It survives the broker's death, and the deletion of its
//! consumer or stream: it waits until the scheduler has made them again. It makes nothing itself.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use crate::bus::API_TIMEOUT;
use crate::link::backoff;
use crate::{Bus, Delivery, NatsError};

/// How long one pull waits at the broker.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// How often the broker says that it is there, while nothing comes.
const PULL_HEARTBEAT: Duration = Duration::from_secs(5);
/// The longest pause before it is looked again for a consumer that is not there: what it delays when it is back.
const MAX_LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A consumer that is missing is complained of once in so many tries.
const COMPLAIN_EVERY: usize = 30;

/// What a consumer delivers.
pub struct Intake {
    source: Source,
    state: State,
    /// What came in one bundle, or was delivered before the consumer was opened again; thrown away that would come back later only.
    waiting: VecDeque<Delivery>,
}

/// Which consumer, and how.
#[derive(Clone)]
struct Source {
    bus: Bus,
    stream: String,
    consumer: String,
    window: usize,
}

enum State {
    /// Kept while nobody polls, so that a caller who polls rarely gets there all the same.
    Opening(BoxFuture<'static, pull::Stream>),
    Open(Box<pull::Stream>),
}

impl Bus {
    /// Messages that a consumer has not delivered, or that were not acknowledged. Not to be asked often: the broker
    /// counts each time.
    pub async fn unread(&self, stream: &str, consumer: &str) -> Result<u64, NatsError> {
        let what = || format!("looking at the consumer {stream}/{consumer}");
        let looked = self.jetstream().get_consumer_from_stream(consumer, stream);
        let consumer: PullConsumer = self.within(API_TIMEOUT, what, looked).await?;
        let info = consumer.cached_info();
        Ok(info.num_pending + info.num_ack_pending as u64)
    }
}

impl Intake {
    /// Opens a consumer, which may not be there yet. `window` is how many messages are asked for at once; up to one and
    /// a half of it may wait in this process, each of up to 1 MiB, and time runs for them: ask for no more than is done soon.
    pub fn open(bus: &Bus, stream: &str, consumer: &str, window: usize) -> Self {
        let source = Source { bus: bus.clone(), stream: stream.into(), consumer: consumer.into(), window: window.max(1) };
        Self { state: source.clone().opening(), source, waiting: VecDeque::new() }
    }

    /// The next message. Nothing is lost when this is dropped before it is done.
    pub async fn next(&mut self) -> Delivery {
        loop {
            if let Some(delivery) = self.waiting.pop_front() {
                return delivery;
            }
            match &mut self.state {
                State::Opening(opening) => self.state = State::Open(Box::new(opening.await)),
                State::Open(messages) => match messages.next().await {
                    Some(Ok(message)) => self.waiting.extend(Delivery::unpack(&self.source.bus, message)),
                    Some(Err(error)) => self.reopen(&error.to_string()),
                    None => self.reopen("it ended"),
                },
            }
        }
    }

    /// The next message, and those that wait behind it: at most `max`. Never empty.
    pub async fn next_batch(&mut self, max: usize) -> Vec<Delivery> {
        let mut batch = vec![self.next().await];
        while batch.len() < max {
            match self.next().now_or_never() {
                Some(delivery) => batch.push(delivery),
                None => break,
            }
        }
        batch
    }

    /// Says of what was delivered and waits here, as the rest of a bundle does, that it is in work: well within
    /// [`crate::streams::ACK_WAIT`], by whoever takes long.
    pub async fn progress(&self) {
        let mut last = None;
        for delivery in self.waiting.iter().filter(|delivery| last.replace(delivery.sequence) != Some(delivery.sequence)) {
            delivery.progress().await;
        }
    }

    fn reopen(&mut self, why: &str) {
        if let State::Open(messages) = &mut self.state {
            // Further errors say no more than the first; the bound is for a stream that only errs.
            for message in (0..2 * self.source.window).map_while(|_| messages.next().now_or_never().flatten()) {
                self.waiting.extend(message.into_iter().flat_map(|message| Delivery::unpack(&self.source.bus, message)));
            }
        }
        tracing::debug!(stream = self.source.stream, consumer = self.source.consumer, why, "opening the consumer again");
        self.state = self.source.clone().opening();
    }
}

impl Source {
    fn opening(self) -> State {
        State::Opening(
            async move {
                for attempt in 1.. {
                    match self.pull().await {
                        Ok(messages) => return messages,
                        Err(error) => self.complain(attempt, &error),
                    }
                    tokio::time::sleep(backoff(attempt).min(MAX_LOOK_AGAIN)).await;
                }
                unreachable!("the attempts have no end")
            }
            .boxed(),
        )
    }

    async fn pull(&self) -> Result<pull::Stream, NatsError> {
        let what = || format!("opening the consumer {}/{}", self.stream, self.consumer);
        let opened = async {
            let consumer: PullConsumer =
                self.bus.jetstream().get_consumer_from_stream(&self.consumer, &self.stream).await.map_err(|e| e.to_string())?;
            let pulls = consumer.stream().max_messages_per_batch(self.window).expires(PULL_EXPIRES).heartbeat(PULL_HEARTBEAT);
            pulls.messages().await.map_err(|e| e.to_string())
        };
        self.bus.within(API_TIMEOUT, what, opened).await
    }

    fn complain(&self, attempt: usize, error: &NatsError) {
        let (stream, consumer) = (&self.stream, &self.consumer);
        if attempt % COMPLAIN_EVERY == 2 {
            tracing::warn!(stream, consumer, %error, "waiting for a consumer; the scheduler makes it when it runs");
        } else {
            tracing::debug!(stream, consumer, %error, "waiting for a consumer");
        }
    }
}
