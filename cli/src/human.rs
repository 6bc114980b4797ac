//! Times and counts in words, for people. Machines get the bare numbers through `--json`.

use drover_messages::Timestamp;

/// A duration in milliseconds, in two units at most: `850 ms`, `12.3 s`, `4 min 10 s`, `3 h 5 min`, `2 d 4 h`.
pub(crate) fn duration(millis: u64) -> String {
    let secs = millis / 1000;
    match secs {
        0 => format!("{millis} ms"),
        1..=59 => format!("{}.{} s", secs, millis % 1000 / 100),
        60..=3599 => format!("{} min {} s", secs / 60, secs % 60),
        3600..=86_399 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// How long ago `then` was, coarsely: `now`, `12 s ago`, `5 min ago`, `3 h ago`, `2 d ago`.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let secs = now.millis_since(then) / 1000;
    match secs {
        0..=2 => "now".to_owned(),
        3..=59 => format!("{secs} s ago"),
        60..=3599 => format!("{} min ago", secs / 60),
        3600..=86_399 => format!("{} h ago", secs / 3600),
        _ => format!("{} d ago", secs / 86_400),
    }
}

/// A count with its noun: `1 build`, `3 builds`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        let shown: Vec<String> = [0, 850, 12_345, 250_000, 11_100_000, 187_200_000].map(duration).into();
        assert_eq!(shown, ["0 ms", "850 ms", "12.3 s", "4 min 10 s", "3 h 5 min", "2 d 4 h"]);
    }

    #[test]
    fn a_clock_that_is_behind_says_now() {
        assert_eq!(ago(Timestamp(5000), Timestamp(1000)), "now");
        assert_eq!(ago(Timestamp(1000), Timestamp(301_000)), "5 min ago");
    }
}
