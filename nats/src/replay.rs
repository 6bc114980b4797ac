//! Reading a stream from its beginning and following it, without leaving anything at the broker: no consumer is made,
//! so whoever may only look needs no right to make one.
//!
//! What was stored is read message by message, what is new comes by plain subscription. At the seam, and after each
//! reconnect, a message may come twice and out of order: the reader goes by ids or offsets.

use std::future::pending;
use std::time::Duration;

use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::{Bus, Filter, Incoming, Link, NatsError, Subscription, bus::API_TIMEOUT};

/// How long after the seam it is looked once more for what is stored: a message that came before the subscription may have been
/// stored only after it was looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Messages that this brings at most: what comes faster than it can be looked for is not to be looked for for ever.
const LOOKED_AGAIN: usize = 64;

/// A stream's messages, from the oldest on, for ever.
pub struct Replay {
    bus: Bus,
    stream: &'static str,
    filter: Filter,
    live: Subscription,
    link: watch::Receiver<Link>,
    /// Where to read on among what is stored; `None` once that is read.
    stored: Option<u64>,
    /// Whether it is still to be looked once more, behind the seam.
    looks_again: bool,
    /// So many more of what is stored are read.
    left: usize,
    /// When, and from where on.
    again: Option<(Instant, u64)>,
}

impl Bus {
    /// Reads what `stream` holds under `filter`, then follows it.
    pub async fn replay(&self, stream: &'static str, filter: Filter) -> Result<Replay, NatsError> {
        let live = self.subscribe(&filter).await?;
        let mut link = self.link();
        link.mark_unchanged();
        Ok(Replay {
            bus: self.clone(),
            stream,
            filter,
            live,
            link,
            stored: Some(1),
            looks_again: true,
            left: usize::MAX,
            again: None,
        })
    }
}

impl Replay {
    /// The next message that is stored already, or `None` when all are read.
    pub async fn next_stored(&mut self) -> Result<Option<Incoming>, NatsError> {
        while let Some(from) = self.stored {
            match self.get(from).await? {
                None => {
                    self.stored = None;
                    let again = std::mem::take(&mut self.looks_again);
                    self.again = again.then(|| (Instant::now() + LOOK_AGAIN, from));
                }
                Some((sequence, message)) => {
                    self.left = self.left.saturating_sub(1);
                    self.stored = (self.left > 0).then_some(sequence + 1);
                    if let Some(incoming) = Incoming::of_stored(message) {
                        return Ok(Some(incoming));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The next message, stored or new. After the connection was gone, all that is stored comes again.
    pub async fn next(&mut self) -> Result<Incoming, NatsError> {
        loop {
            if let Some(stored) = self.next_stored().await? {
                return Ok(stored);
            }
            tokio::select! {
                incoming = self.live.next() => {
                    let gone = || NatsError::Timeout { what: format!("following {}", self.filter), within: API_TIMEOUT };
                    return incoming.ok_or_else(gone);
                }
                _ = self.link.changed() => {
                    self.bus.up().await;
                    self.link.mark_unchanged();
                    (self.stored, self.left, self.looks_again) = (Some(1), usize::MAX, true);
                }
                from = time_to_look(self.again) => (self.stored, self.left, self.again) = (Some(from), LOOKED_AGAIN, None),
            }
        }
    }

    async fn get(&self, from: u64) -> Result<Option<(u64, async_nats::jetstream::message::StreamMessage)>, NatsError> {
        let what = || format!("reading {} from {}", self.filter, self.stream);
        let got = async {
            let stream: Stream<()> = self.bus.jetstream().get_stream_no_info(self.stream).await.map_err(|e| e.to_string())?;
            let next = stream.direct_get_builder().next_by_subject(self.filter.to_string()).sequence(from);
            match next.send().await {
                Ok(message) => Ok(Some((message.sequence, message))),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        };
        self.bus.within(API_TIMEOUT, what, got).await
    }
}

/// Returns when it is time to look once more, with where; never, if it is not to be looked.
async fn time_to_look(again: Option<(Instant, u64)>) -> u64 {
    let Some((at, from)) = again else { return pending().await };
    sleep_until(at).await;
    from
}
