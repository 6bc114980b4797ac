//! Events, cut from the records by a cursor of their own. Told twice, an event has the same id.
//!
//! What was committed just now was never told, and goes out in turn, with one acknowledgement for many events. What is read from
//! the book may be there in part, by an earlier start or a try that failed: each event of that is acknowledged by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drover_messages::event::Event;
use drover_nats::{Acknowledgement, Addressed, Bus, Declared, NatsError, Subject, streams};

use crate::book::Book;
use crate::fresh::{Fresh, News};

/// Records that are told together.
const RECORDS: usize = 64;
/// The pause after the broker did not take an event.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Whether the stream of events is new, so that it lacks what was told before.
pub(crate) fn identity(declared: &[Declared]) -> bool {
    declared.iter().any(|stream| stream.stream == streams::EVENTS && stream.created)
}

/// Tells what is committed, for ever. A stream that is `new` is told all that is remembered.
pub(crate) async fn tell(bus: Bus, book: Book, told: Arc<AtomicU64>, fresh: Arc<Fresh>, new: bool) -> anyhow::Result<()> {
    if new {
        told.store(0, Ordering::Relaxed);
    }
    loop {
        let from = told.load(Ordering::Relaxed);
        let (news, is_new) = match fresh.after(from, RECORDS) {
            Some(news) => (news, true),
            None => (book.news_after(from, RECORDS)?, false),
        };
        let Some(last) = news.last().map(|news| news.number) else {
            fresh.committed().await;
            continue;
        };
        let events: Vec<_> = news.into_iter().flat_map(News::into_events).map(addressed).collect();
        let told_all = if is_new { bus.publish_in_turn(&events).await } else { tell_each(&bus, &events).await };
        match told_all {
            // A stream that was lost meanwhile has put the cursor back: it stays there.
            Ok(()) => drop(told.compare_exchange(from, last, Ordering::Relaxed, Ordering::Relaxed)),
            Err(error) => {
                tracing::warn!(%error, "events cannot be told now; they are told later");
                tokio::time::sleep(TELL_AGAIN).await;
            }
        }
    }
}

fn addressed(event: Event) -> Addressed<Event> {
    let id = event.id.to_string();
    (Subject::of_event(&event), event, id)
}

async fn tell_each(bus: &Bus, events: &[Addressed<Event>]) -> Result<(), NatsError> {
    let mut acknowledgements: Vec<Acknowledgement> = Vec::with_capacity(events.len());
    for (subject, event, id) in events {
        acknowledgements.push(bus.start_publish(subject, event, id).await?);
    }
    for acknowledgement in acknowledgements {
        acknowledgement.await?;
    }
    Ok(())
}
