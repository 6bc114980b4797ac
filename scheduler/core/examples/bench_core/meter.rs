//! What a run takes, in time of the processor, which other programs on the machine do not lengthen by much; and where that
//! goes by kind of input, in time of the clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Times of one run.
pub struct Meter {
    started: Duration,
    stopped: Duration,
    /// Builds that succeeded.
    pub builds: u64,
    by_input: BTreeMap<&'static str, (u64, Duration)>,
    after_each: fn(),
}

impl Meter {
    /// Begins to measure. `after_each` is called after each input.
    pub fn start(after_each: fn()) -> Self {
        Self { started: processor_time(), stopped: Duration::ZERO, builds: 0, by_input: BTreeMap::new(), after_each }
    }

    /// Begins anew.
    pub fn restart(&mut self) {
        *self = Self::start(self.after_each);
    }

    pub fn stop(&mut self) {
        self.stopped = processor_time();
    }

    /// Measures one of these.
    pub fn measure<T>(&mut self, input: &'static str, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        let (count, took) = self.by_input.entry(input).or_default();
        (*count, *took) = (*count + 1, *took + start.elapsed());
        (self.after_each)();
        result
    }

    /// The whole run.
    pub fn elapsed(&self) -> Duration {
        self.stopped.saturating_sub(self.started)
    }
}

/// What this thread, which is the only one, has had of a processor so far. Where the system does not say, what has passed.
fn processor_time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.by_input.values().map(|(_, took)| took.as_secs_f64()).sum::<f64>();
        for (input, (count, took)) in &self.by_input {
            let secs = took.as_secs_f64();
            let (each, share) = (secs * 1e6 / *count as f64, secs * 100.0 / all);
            writeln!(f, "{input:<12} {count:>8} x {each:>10.2} us  {share:>5.1} %")?;
        }
        Ok(())
    }
}
