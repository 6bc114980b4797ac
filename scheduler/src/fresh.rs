//! Events that were committed just now, handed on to be told, so that they need not be read from the book again. What does
//! not fit is in the book all the same.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_messages::event::{Event, EventId, What};
use drover_messages::{Generation, Timestamp};
use tokio::sync::Notify;

/// Events that wait here to be told.
const MOST_EVENTS: usize = 16_384;

/// What one record tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// The record's number.
    pub(crate) number: u64,
    pub(crate) generation: Generation,
    pub(crate) wall: Timestamp,
    pub(crate) events: Vec<What>,
}

impl News {
    /// As they are told.
    pub(crate) fn into_events(self) -> impl Iterator<Item = Event> {
        let (generation, record, at) = (self.generation.0, self.number, self.wall);
        self.events.into_iter().zip(0..).map(move |(what, index)| Event { id: EventId { generation, record, index }, at, what })
    }
}

/// The newest records, without a gap between them.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    waiting: Mutex<Waiting>,
    committed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    news: VecDeque<News>,
    events: usize,
}

impl Fresh {
    /// A record was committed. The oldest give way.
    pub(crate) fn put(&self, news: News) {
        let mut waiting = self.waiting();
        waiting.events += news.events.len();
        waiting.news.push_back(news);
        while waiting.events > MOST_EVENTS && waiting.drop_oldest() {}
        drop(waiting);
        self.committed.notify_one();
    }

    /// Takes what follows a record, of at most so many records; `None` if that is not all here.
    pub(crate) fn after(&self, number: u64, most: usize) -> Option<Vec<News>> {
        let mut waiting = self.waiting();
        while waiting.news.front().is_some_and(|news| news.number <= number) {
            waiting.drop_oldest();
        }
        waiting.news.front().filter(|news| news.number == number + 1)?;
        let taken: Vec<News> = (0..most).map_while(|_| waiting.news.pop_front()).collect();
        waiting.events -= taken.iter().map(|news| news.events.len()).sum::<usize>();
        Some(taken)
    }

    /// Returns when something was committed since this was called last.
    pub(crate) async fn committed(&self) {
        self.committed.notified().await;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn drop_oldest(&mut self) -> bool {
        let oldest = self.news.pop_front();
        self.events -= oldest.as_ref().map_or(0, |news| news.events.len());
        oldest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use drover_messages::{AgentId, Generation};

    use super::*;

    fn news(number: u64, events: usize) -> News {
        let what = What::AgentLost { agent: AgentId::new() };
        News { number, generation: Generation(1), wall: Timestamp(0), events: vec![what; events] }
    }

    #[test]
    fn what_follows_a_record_is_taken_once_and_in_order() {
        let fresh = Fresh::default();
        (1..=4).for_each(|number| fresh.put(news(number, 1)));
        let numbers = |taken: Option<Vec<News>>| taken.map(|taken| taken.iter().map(|news| news.number).collect::<Vec<_>>());
        assert_eq!(numbers(fresh.after(1, 2)), Some(vec![2, 3]));
        assert_eq!(numbers(fresh.after(3, 9)), Some(vec![4]));
        assert_eq!(fresh.after(4, 9), None);
    }

    #[test]
    fn what_did_not_fit_is_not_passed_over() {
        let fresh = Fresh::default();
        (1..=3).for_each(|number| fresh.put(news(number, MOST_EVENTS / 2)));
        assert_eq!(fresh.after(0, 9), None);
        assert_eq!(fresh.after(1, 9).map(|taken| taken.len()), Some(2));
    }

    #[test]
    fn an_event_is_numbered_by_its_record_and_its_place() {
        let ids: Vec<EventId> = news(7, 2).into_events().map(|event| event.id).collect();
        assert_eq!(ids, [0, 1].map(|index| EventId { generation: 1, record: 7, index }));
    }
}
