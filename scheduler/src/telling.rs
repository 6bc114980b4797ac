//! Events, cut from the records by a cursor of their own. Told twice, an event has the same id.
//!
//! What was committed just now was never told, and goes out in turn, with one acknowledgement for many events. What is read from
//! the book may be there in part, by an earlier start or a try that failed: each event of that is acknowledged by itself.

use std::sync::Arc;
use std::time::Duration;

use drover_messages::event::Event;
use drover_nats::{Acknowledgement, Addressed, Bus, NatsError, Subject};

use crate::book::Book;
use crate::fresh::{Fresh, News};
use crate::told::Cursor;

/// Records that are told together.
const RECORDS: usize = 64;
/// The pause after the broker did not take an event.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Tells what is committed, for ever.
pub(crate) async fn tell(bus: Bus, book: Book, told: Arc<Cursor>, fresh: Arc<Fresh>) -> anyhow::Result<()> {
    loop {
        let from = told.get();
        let (news, is_new) = match fresh.after(from.record, RECORDS) {
            Some(news) => (news, true),
            None => (book.news_after(from.record, RECORDS)?, false),
        };
        let Some(last) = news.last().map(|news| news.number) else {
            fresh.committed().await;
            continue;
        };
        let events: Vec<_> = news.into_iter().flat_map(News::into_events).map(addressed).collect();
        let told_all = if is_new { bus.publish_in_turn(&events).await } else { tell_each(&bus, &events).await };
        match told_all {
            // A stream that was lost meanwhile has put the cursor back: it stays there.
            Ok(()) => told.advance(from, last),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use drover_messages::event::What;
    use drover_messages::{AgentId, Generation, Timestamp};
    use drover_nats::permissions::Who;
    use drover_nats::testing::NatsServer;
    use drover_nats::{Filter, Reread, reconcile, streams};
    use drover_scheduler_core::{Heard, State};

    use super::*;
    use crate::book::{Page, Record, Sheet};
    use crate::told::Told;

    const GENERATION: Generation = Generation(1);

    /// Events of one commit, one of which the stream has already.
    async fn are_told(is_fresh: bool) {
        let Some(mut server) = NatsServer::start() else { return };
        let bus = Bus::connect(&server.login(Who::Scheduler).await).await.unwrap();
        reconcile(&bus, &streams::all(&[]), Reread::Whole).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (book, fresh) = (Book::open(folder.path()).unwrap(), Arc::<Fresh>::default());
        let events: Vec<What> = (0..5).map(|_| What::AgentLost { agent: AgentId::new() }).collect();
        let record = Record { generation: GENERATION, heard: Heard(0), wall: Timestamp(0), events: events.clone() };
        let sheet = Sheet::of(record, Vec::new(), &Page::default(), &State::new(GENERATION)).unwrap();
        let (_, number) = book.commit(sheet, Told::default()).unwrap();
        let news = News { number, generation: GENERATION, wall: Timestamp(0), events };
        let all: Vec<_> = news.clone().into_events().map(addressed).collect();
        let (subject, event, id) = &all[2];
        bus.publish(subject, event, id).await.unwrap();
        if is_fresh {
            fresh.put(news);
        }

        let told = Arc::<Cursor>::default();
        let telling = tokio::spawn(tell(bus.clone(), book, told.clone(), fresh));
        let all_told = async {
            while told.get().record < number {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all_told).await.expect("in time");
        telling.abort();
        let mut stored = bus.replay(streams::EVENTS, Filter::Events).await.unwrap();
        let mut ids = Vec::new();
        while let Some(incoming) = stored.next_stored().await.unwrap() {
            ids.push(incoming.decode::<Event>().unwrap().id.to_string());
        }
        assert_eq!(ids.len(), all.len(), "each is there once");
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), all.into_iter().map(|(.., id)| id).collect());
    }

    #[tokio::test]
    async fn what_was_told_in_part_before_the_start_is_told_whole() {
        are_told(false).await;
    }

    #[tokio::test]
    async fn where_the_stream_does_not_take_events_in_turn_each_is_told_by_itself() {
        are_told(true).await;
    }
}
