//! A scheduler that was superseded is not served: the one that came after it knows better what is owed.

use std::sync::atomic::{AtomicU64, Ordering};

use drover_messages::Generation;

/// The highest generation that was seen.
#[derive(Debug, Default)]
pub struct Fence(AtomicU64);

impl Fence {
    /// Lets nothing lower than `seen` pass.
    pub fn new(seen: Generation) -> Self {
        Self(AtomicU64::new(seen.0))
    }

    /// Whether a request of this generation is to be served. A higher one shuts out all below it.
    pub fn admits(&self, generation: Generation) -> bool {
        self.0.fetch_max(generation.0, Ordering::AcqRel) <= generation.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_generation_than_was_seen_is_refused() {
        let fence = Fence::new(Generation(3));
        assert!(!fence.admits(Generation(2)));
        assert!(fence.admits(Generation(3)));
        assert!(fence.admits(Generation(5)));
        assert!(!fence.admits(Generation(4)));
        assert!(fence.admits(Generation(5)));
    }
}
