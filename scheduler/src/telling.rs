//! Events, cut from the records by a cursor of their own. Told twice, an event has the same id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drover_nats::{Acknowledgement, Bus, Declared, NatsError, Subject, streams};

use crate::book::{Book, BookError};
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
        let news = news_after(from, &book, &fresh)?;
        let Some(last) = news.last().map(|news| news.number) else {
            fresh.committed().await;
            continue;
        };
        match tell_all(&bus, news).await {
            // A stream that was lost meanwhile has put the cursor back: it stays there.
            Ok(()) => drop(told.compare_exchange(from, last, Ordering::Relaxed, Ordering::Relaxed)),
            Err(error) => {
                tracing::warn!(%error, "events cannot be told now; they are told later");
                tokio::time::sleep(TELL_AGAIN).await;
            }
        }
    }
}

fn news_after(number: u64, book: &Book, fresh: &Fresh) -> Result<Vec<News>, BookError> {
    match fresh.after(number, RECORDS) {
        Some(news) => Ok(news),
        None => book.news_after(number, RECORDS),
    }
}

async fn tell_all(bus: &Bus, news: Vec<News>) -> Result<(), NatsError> {
    let mut acknowledgements: Vec<Acknowledgement> = Vec::new();
    for event in news.into_iter().flat_map(News::into_events) {
        acknowledgements.push(bus.start_publish(&Subject::of_event(&event), &event, &event.id.to_string()).await?);
    }
    for acknowledgement in acknowledgements {
        acknowledgement.await?;
    }
    Ok(())
}
