//! Where the time goes, by kind of input.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Times of one run.
pub struct Meter {
    started: Instant,
    stopped: Option<Instant>,
    /// Builds that succeeded.
    pub builds: u64,
    by_input: BTreeMap<&'static str, (u64, Duration)>,
}

impl Meter {
    pub fn start() -> Self {
        Self { started: Instant::now(), stopped: None, builds: 0, by_input: BTreeMap::new() }
    }

    pub fn stop(&mut self) {
        self.stopped = Some(Instant::now());
    }

    /// Measures one of these.
    pub fn measure<T>(&mut self, input: &'static str, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        let (count, took) = self.by_input.entry(input).or_default();
        (*count, *took) = (*count + 1, *took + start.elapsed());
        result
    }

    /// The whole run.
    pub fn elapsed(&self) -> Duration {
        self.stopped.unwrap_or(self.started) - self.started
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.elapsed().as_secs_f64();
        let mut rest = total;
        for (input, (count, took)) in &self.by_input {
            let secs = took.as_secs_f64();
            rest -= secs;
            let (each, share) = (secs * 1e6 / *count as f64, secs * 100.0 / total);
            writeln!(f, "{input:<14} {count:>8} x {each:>9.2} us = {:>8.1} ms  {share:>4.1} %", secs * 1e3)?;
        }
        write!(f, "what the bench does itself              {:>8.1} ms  {:>4.1} %", rest * 1e3, rest * 100.0 / total)
    }
}
