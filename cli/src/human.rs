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

/// A size in bytes, in the largest unit of which there is one: `512 B`, `4.0 KiB`, `71.3 MiB`, `2.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
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
    fn sizes_stand_in_the_largest_unit_of_which_there_is_one() {
        let shown: Vec<String> = [512, 4096, 74_763_469, 2_684_354_560].map(size).into();
        assert_eq!(shown, ["512 B", "4.0 KiB", "71.3 MiB", "2.5 GiB"]);
    }

    #[test]
    fn a_clock_that_is_behind_says_now() {
        assert_eq!(ago(Timestamp(5000), Timestamp(1000)), "now");
        assert_eq!(ago(Timestamp(1000), Timestamp(301_000)), "5 min ago");
    }
}
