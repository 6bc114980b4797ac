//! What one server was found to have, for a while. That it lacks something is never remembered: it may be there the next
//! moment.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use drover_store::StorePath;

/// How long a server is believed to have what it had.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(10 * 60);
/// Items that are remembered of one server; the oldest go first.
pub const MAX_REMEMBERED: usize = 1 << 17;

/// The items of one server.
#[derive(Debug, Default)]
pub struct Memory {
    items: HashSet<StorePath>,
    in_order: VecDeque<(Instant, StorePath)>,
}

impl Memory {
    /// It was found to have this.
    pub fn found(&mut self, path: &StorePath, now: Instant) {
        self.forget_old(now);
        if self.items.insert(path.clone()) {
            self.in_order.push_back((now, path.clone()));
        }
        if self.items.len() > MAX_REMEMBERED {
            self.forget_oldest();
        }
    }

    /// Whether it is believed to have this.
    pub fn has(&mut self, path: &StorePath, now: Instant) -> bool {
        self.forget_old(now);
        self.items.contains(path)
    }

    fn forget_old(&mut self, now: Instant) {
        while self.in_order.front().is_some_and(|(found_at, _)| *found_at + REMEMBERED_FOR <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, path)) = self.in_order.pop_front() {
            self.items.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(n: usize) -> StorePath {
        let mut hash = [0; 20];
        hash[..8].copy_from_slice(&n.to_le_bytes());
        StorePath::from_parts(&hash, "item").unwrap()
    }

    #[test]
    fn a_find_is_believed_for_some_minutes_and_no_longer() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.found(&path(1), now);
        assert!(memory.has(&path(1), now + REMEMBERED_FOR - Duration::from_secs(1)));
        assert!(!memory.has(&path(2), now));
        // Having been asked for does not make it younger, nor does being found again.
        memory.found(&path(1), now + REMEMBERED_FOR / 2);
        assert!(!memory.has(&path(1), now + REMEMBERED_FOR));
        memory.found(&path(1), now + REMEMBERED_FOR);
        assert!(memory.has(&path(1), now + REMEMBERED_FOR));
    }

    #[test]
    fn no_more_than_the_bound_is_remembered() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for n in 0..=MAX_REMEMBERED {
            memory.found(&path(n), now);
        }
        assert!(!memory.has(&path(0), now));
        assert!(memory.has(&path(1), now) && memory.has(&path(MAX_REMEMBERED), now));
        assert_eq!(memory.items.len(), memory.in_order.len());
    }
}
