//! Times of several things that are measured in turn.

use std::fmt;
use std::time::Duration;

/// Their medians count.
pub(crate) struct Rounds<const N: usize> {
    names: [&'static str; N],
    times: [Vec<Duration>; N],
}

impl<const N: usize> Rounds<N> {
    /// Of things with these names.
    pub(crate) fn of(names: [&'static str; N]) -> Self {
        Self { names, times: std::array::from_fn(|_| Vec::new()) }
    }

    /// One round is over.
    pub(crate) fn add(&mut self, measured: [Duration; N]) {
        let words = self.names.iter().zip(measured).map(|(name, time)| format!("{time:.2?} {name}"));
        println!("round {}: {}", self.times[0].len() + 1, words.collect::<Vec<_>>().join(", "));
        for (times, time) in self.times.iter_mut().zip(measured) {
            times.push(time);
        }
    }

    /// The median of each.
    pub(crate) fn medians(self) -> [Duration; N] {
        self.times.map(|mut times| {
            times.sort();
            times[times.len() / 2]
        })
    }
}

/// A figure that is to be compared with others of its name.
pub(crate) struct Figure {
    name: &'static str,
    value: f64,
}

impl Figure {
    /// How many times as long one thing takes as another.
    pub(crate) fn ratio(name: &'static str, ours: Duration, theirs: Duration) -> Self {
        Self { name, value: ours.as_secs_f64() / theirs.as_secs_f64() }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "result {} {:.2} x", self.name, self.value)
    }
}
