//! What the scheduler was told of a store, and what it is to be told next: pure, the time comes in.
//!
//! It does not know how the news travel, nor what they are for. What came is told bit by bit; what went makes the whole
//! be told again, since nothing can be taken out of a filter.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use drover_messages::holdings::MAX_GAINED;
use drover_messages::{Fingerprint, Holdings};

/// A store that has grown by this part of what it had needs a larger filter.
const CROWDED_BY: usize = 4;
/// So much growth is never too much.
const ALWAYS_ROOM_FOR: usize = 100;

/// A store as it was last seen, and how much of that is known.
#[derive(Debug, Default)]
pub struct Told {
    items: BTreeSet<Fingerprint>,
    /// What came by word of mouth while somebody may be looking.
    heard_of: Vec<Fingerprint>,
    whole: Option<Whole>,
    /// In the filter, but not known to be told.
    gained: Vec<Fingerprint>,
}

/// A filter of all items.
#[derive(Debug)]
struct Whole {
    filter: Holdings,
    number: u64,
    made_at: Instant,
    /// Items when it was made.
    items: usize,
    /// Whether it says of something gone that it is held.
    is_stale: bool,
    is_told: bool,
}

/// What is told at a time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Everything.
    pub holds: Option<Holdings>,
    /// What came since that.
    pub gained: Vec<Fingerprint>,
    whole: u64,
    covers: usize,
}

impl Told {
    /// Somebody begins to look at the store.
    pub fn looking(&mut self) {
        self.heard_of.clear();
    }

    /// Somebody has looked at the store, and these are in it.
    pub fn found(&mut self, mut items: BTreeSet<Fingerprint>, now: Instant) {
        items.extend(&self.heard_of);
        let has_lost = self.items.difference(&items).next().is_some();
        let new: Vec<Fingerprint> = items.difference(&self.items).copied().collect();
        self.items = items;
        match &mut self.whole {
            None => self.begin_anew(now),
            Some(whole) => {
                whole.is_stale |= has_lost;
                self.gain(new, now);
            }
        }
    }

    /// These are in the store, as somebody knows who was there. It counts once the store was looked at.
    pub fn hear_of(&mut self, items: impl IntoIterator<Item = Fingerprint>, now: Instant) {
        if self.whole.is_some() {
            let new: Vec<Fingerprint> = items.into_iter().filter(|item| self.items.insert(*item)).collect();
            self.heard_of.extend(&new);
            self.gain(new, now);
        }
    }

    /// Lets a filter that is wrong be made anew, if it is as old as that.
    pub fn refresh(&mut self, after: Duration, now: Instant) {
        if self.whole.as_ref().is_some_and(|whole| whole.is_stale && now.duration_since(whole.made_at) >= after) {
            self.begin_anew(now);
        }
    }

    fn gain(&mut self, new: Vec<Fingerprint>, now: Instant) {
        let Some(whole) = &mut self.whole else { return };
        let is_crowded = self.items.len() > whole.items + whole.items / CROWDED_BY + ALWAYS_ROOM_FOR;
        if is_crowded || self.gained.len() + new.len() > MAX_GAINED {
            return self.begin_anew(now);
        }
        new.iter().for_each(|item| whole.filter.insert(*item));
        self.gained.extend(new);
    }

    fn begin_anew(&mut self, now: Instant) {
        let number = self.whole.as_ref().map_or(1, |whole| whole.number + 1);
        let (filter, items) = (Holdings::of(self.items.iter().copied()), self.items.len());
        self.whole = Some(Whole { filter, number, made_at: now, items, is_stale: false, is_told: false });
        self.gained.clear();
    }

    /// For somebody who was told before. It is the same until it was answered.
    pub fn news(&self) -> News {
        match &self.whole {
            Some(whole) if whole.is_told => {
                News { holds: None, gained: self.gained.clone(), whole: whole.number, covers: self.gained.len() }
            }
            _ => self.everything(),
        }
    }

    /// For somebody who may know nothing.
    pub fn everything(&self) -> News {
        self.whole.as_ref().map_or_else(News::default, |whole| News {
            holds: Some(whole.filter.clone()),
            gained: Vec::new(),
            whole: whole.number,
            covers: self.gained.len(),
        })
    }

    /// These were answered, and need not be told again.
    pub fn was_answered(&mut self, news: &News) {
        if let Some(whole) = self.whole.as_mut().filter(|whole| whole.number == news.whole) {
            whole.is_told |= news.holds.is_some();
            self.gained.drain(..news.covers.min(self.gained.len()));
        }
    }
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
