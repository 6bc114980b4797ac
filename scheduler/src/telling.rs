//! Events, cut from the records by a cursor of their own. Told twice, an event has the same id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drover_messages::event::{Event, EventId};
use drover_nats::{Acknowledgement, Bus, Declared, NatsError, Subject, streams};
use tokio::sync::Notify;

use crate::book::{Book, Record};

/// Records that are told together.
const RECORDS: usize = 64;
/// The pause after the broker did not take an event.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Whether the stream of events is new, so that it lacks what was told before.
pub(crate) fn identity(declared: &[Declared]) -> bool {
    declared.iter().any(|stream| stream.stream == streams::EVENTS && stream.created)
}

/// Tells what is committed, for ever. A stream that is `new` is told all that is remembered.
pub(crate) async fn tell(bus: Bus, book: Book, told: Arc<AtomicU64>, committed: Arc<Notify>, new: bool) -> anyhow::Result<()> {
    if new {
        told.store(0, Ordering::Relaxed);
    }
    loop {
        let from = told.load(Ordering::Relaxed);
        let records = book.records_after(from, RECORDS)?;
        let Some(last) = records.last().map(|(number, _)| *number) else {
            committed.notified().await;
            continue;
        };
        match tell_all(&bus, &records).await {
            // A stream that was lost meanwhile has put the cursor back: it stays there.
            Ok(()) => drop(told.compare_exchange(from, last, Ordering::Relaxed, Ordering::Relaxed)),
            Err(error) => {
                tracing::warn!(%error, "events cannot be told now; they are told later");
                tokio::time::sleep(TELL_AGAIN).await;
            }
        }
    }
}

async fn tell_all(bus: &Bus, records: &[(u64, Record)]) -> Result<(), NatsError> {
    let mut acknowledgements: Vec<Acknowledgement> = Vec::new();
    for event in records.iter().flat_map(|(number, record)| events_of(*number, record)) {
        acknowledgements.push(bus.start_publish(&Subject::of_event(&event), &event, &event.id.to_string()).await?);
    }
    for acknowledgement in acknowledgements {
        acknowledgement.await?;
    }
    Ok(())
}

fn events_of(number: u64, record: &Record) -> impl Iterator<Item = Event> + '_ {
    record.events.iter().zip(0..).map(move |(what, index)| Event {
        id: EventId { generation: record.generation.0, record: number, index },
        at: record.wall,
        what: what.clone(),
    })
}
