//! Why a build went where it went: what each place would have cost, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::AgentId;

/// What it costs to build somewhere, beside the time that the build takes anyhow, in milliseconds. Who costs least gets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// To fetch the inputs that its store seems to lack.
    pub inputs_millis: i64,
    /// What it takes longer than others; less than 0 for one that is faster.
    pub speed_millis: i64,
    /// To do without the memory that builds like this one took.
    pub memory_millis: i64,
    /// Until a slot is free.
    pub slot_millis: i64,
    /// What is given to agents that do less, so that builds spread.
    pub spread_millis: i64,
}

impl Score {
    /// All of it.
    pub fn total_millis(&self) -> i64 {
        self.parts().iter().fold(0, |sum, (_, millis)| sum.saturating_add(*millis))
    }

    /// Each part by its name.
    pub fn parts(&self) -> [(&'static str, i64); 5] {
        [
            ("inputs", self.inputs_millis),
            ("speed", self.speed_millis),
            ("memory", self.memory_millis),
            ("slot", self.slot_millis),
            ("spread", self.spread_millis),
        ]
    }
}

impl fmt::Display for Score {
    /// `2.5 s (inputs 2.0 s, spread 0.5 s)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = |millis: i64| format!("{:.1} s", millis as f64 / 1000.0);
        let parts = self.parts().into_iter().filter(|(_, millis)| *millis != 0);
        let parts: Vec<String> = parts.map(|(name, millis)| format!("{name} {}", secs(millis))).collect();
        match parts.as_slice() {
            [] => f.write_str("nothing"),
            [only] => f.write_str(only),
            parts => write!(f, "{} ({})", secs(self.total_millis()), parts.join(", ")),
        }
    }
}

/// An agent that a build could have gone to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which.
    pub agent: AgentId,
    /// What it would have cost.
    pub score: Score,
}

/// Where a build went, and where else it could have gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Who got it.
    pub chosen: Candidate,
    /// Those that were looked at and not chosen, the cheapest first.
    pub others: Vec<Candidate>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_names_what_it_is_made_of() {
        let score = Score { inputs_millis: 2_000, speed_millis: -500, ..Score::default() };
        assert_eq!(score.to_string(), "1.5 s (inputs 2.0 s, speed -0.5 s)");
        assert_eq!(Score { spread_millis: 250, ..Score::default() }.to_string(), "spread 0.2 s");
        assert_eq!(Score::default().to_string(), "nothing");
    }
}
