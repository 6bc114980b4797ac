//! Two clocks: one that decides, one for people.

use drover_messages::Timestamp;
use serde::{Deserialize, Serialize};

/// Milliseconds during which a scheduler of this farm could hear beats, summed over all its reigns. Time that it was
/// down or cut off is not in it, and it never goes back. Leases, delays and repetitions are measured by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Heard(pub u64);

impl Heard {
    /// A moment that does not come.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment so many milliseconds later.
    pub fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds of hearing since `earlier`.
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time that the shell gives to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Decides.
    pub heard: Heard,
    /// Is told to people.
    pub wall: Timestamp,
}
