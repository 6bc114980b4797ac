//! Latencies, and what so many of a hundred of them stay below.

use serde::{Deserialize, Serialize};

/// One offer: when its slot was ready, in microseconds since 1970, and how long it then took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    pub at_micros: u64,
    pub took_micros: u64,
}

/// What `percent` of a hundred stay below, in milliseconds; 100 is the largest.
pub fn millis(of: &[Latency], percent: f64) -> f64 {
    let mut took: Vec<u64> = of.iter().map(|latency| latency.took_micros).collect();
    took.sort_unstable();
    let at = (took.len() as f64 * percent / 100.0).ceil() as usize;
    took.get(at.saturating_sub(1)).map_or(0.0, |micros| *micros as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_latencies_the_largest_is_the_hundredth() {
        let of: Vec<Latency> = (1..=100).map(|n| Latency { at_micros: 0, took_micros: n * 1000 }).collect();
        assert_eq!([50.0, 99.0, 100.0].map(|percent| millis(&of, percent)), [50.0, 99.0, 100.0]);
        assert_eq!(millis(&[], 99.0), 0.0);
    }
}
