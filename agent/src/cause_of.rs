//! What a daemon's words mean for the farm: whose failure it was.
//!
//! Sources: `build-result.hh`, `local-derivation-goal.cc` and `worker.cc` of Nix 2.8, and `nix/libstore/build.cc` of Guix,
//! whose words are much the same. Both tell much only in a message, so this looks into it where the status alone would blame
//! the wrong one.

use drover_daemon::{BuildResult, BuildStatus, DaemonError};
use drover_messages::Cause;
use drover_messages::report::MAX_FAILURE_MESSAGE_BYTES;

/// The cause of a build that the daemon tried and that failed. `fixed_output`: the derivation says what must come out,
/// and may use the network.
pub fn of_result(result: &BuildResult, fixed_output: bool) -> Cause {
    use BuildStatus::*;
    let message = own_words(&result.message);
    let message = message.as_str();
    match result.status {
        TimedOut if message.contains("silence") => Cause::Silent,
        TimedOut => Cause::TimedOut,
        LogLimitExceeded => Cause::TooLarge,
        NotDeterministic => Cause::NotDeterministic,
        InputRejected => Cause::Rejected,
        _ if no_space(message) => Cause::DiskFull,
        _ if killed(message) => Cause::Killed,
        // Nix rejects outputs for many reasons; one of them is that there are none.
        OutputRejected if message.contains("hash mismatch") => Cause::HashMismatch,
        // A downloader may end well without a download: Guix's own does.
        OutputRejected if fixed_output && message.contains("failed to produce output") => Cause::DownloadFailed,
        OutputRejected => Cause::BuilderFailed,
        PermanentFailure | TransientFailure | CachedFailure if fixed_output => Cause::DownloadFailed,
        PermanentFailure | CachedFailure => Cause::BuilderFailed,
        // A failure that may pass, a daemon that could not come to build it, and successes, which are none of ours.
        TransientFailure | MiscFailure | DependencyFailed | NoSubstituters | Other(_) => Cause::DaemonGone,
        Built | Substituted | AlreadyValid | ResolvesToAlreadyValid => Cause::DaemonGone,
    }
}

/// The cause of a build that the daemon did not come to try.
pub fn of_error(error: &DaemonError) -> Cause {
    match error {
        DaemonError::Daemon(message) if no_space(message) => Cause::DiskFull,
        DaemonError::Untrusted(_) => Cause::Refused,
        _ => Cause::DaemonGone,
    }
}

/// An error and its sources in one line, bounded as a report's message is.
pub fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some libraries put the words of their source into their own.
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    bounded(text)
}

/// Cuts a message to what a report may carry.
pub fn bounded(mut text: String) -> String {
    if text.len() > MAX_FAILURE_MESSAGE_BYTES {
        let end = text.floor_char_boundary(MAX_FAILURE_MESSAGE_BYTES - '…'.len_utf8());
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The daemon's message without the lines of the log that it quotes: a builder may print what it likes.
fn own_words(message: &str) -> String {
    message.lines().filter(|line| !line.trim_start().starts_with('>')).collect::<Vec<_>>().join("\n")
}

fn no_space(message: &str) -> bool {
    message.contains("No space left on device") || message.contains("lack of free disk space")
}

/// By somebody outside, such as the kernel when memory runs out: a builder does not kill itself.
fn killed(message: &str) -> bool {
    message.contains("failed due to signal 9") || message.contains("killed by signal 9")
}

#[cfg(test)]
mod tests {
    use drover_messages::cause::Blame;

    use super::*;

    fn result(status: BuildStatus, message: &str) -> BuildResult {
        BuildResult {
            status,
            message: message.into(),
            times_built: 0,
            started_unix_secs: 0,
            stopped_unix_secs: 0,
            cpu_user_micros: None,
            cpu_system_micros: None,
        }
    }

    #[test]
    fn a_failed_builder_is_to_blame_unless_it_was_a_download() {
        let failed = result(BuildStatus::PermanentFailure, "builder for 'x.drv' failed with exit code 1");
        assert_eq!(of_result(&failed, false), Cause::BuilderFailed);
        assert_eq!(of_result(&failed, true), Cause::DownloadFailed);
    }

    #[test]
    fn an_output_is_rejected_for_its_hash_or_for_not_being_there() {
        let hash = result(BuildStatus::OutputRejected, "hash mismatch in fixed-output derivation 'x.drv':");
        assert_eq!(of_result(&hash, true), Cause::HashMismatch);
        let none = result(BuildStatus::OutputRejected, "builder for 'x.drv' failed to produce output path");
        assert_eq!(of_result(&none, false), Cause::BuilderFailed);
        assert_eq!(of_result(&none, true), Cause::DownloadFailed);
    }

    #[test]
    fn silence_is_told_from_slowness_by_the_message() {
        let silent = result(BuildStatus::TimedOut, "building of 'x.drv' timed out after 10 seconds of silence");
        assert_eq!(of_result(&silent, false), Cause::Silent);
        let slow = result(BuildStatus::TimedOut, "building of 'x.drv' timed out after 10 seconds");
        assert_eq!(of_result(&slow, false), Cause::TimedOut);
    }

    #[test]
    fn what_the_farm_did_is_never_told_as_the_derivations_failure() {
        for (status, message) in [
            (BuildStatus::PermanentFailure, "builder for 'x.drv' failed due to signal 9 (Killed)"),
            (BuildStatus::PermanentFailure, "builder for `x.drv' failed due to signal 9 (Killed)"),
            (BuildStatus::MiscFailure, "inputs are not in the store: x"),
            (BuildStatus::TransientFailure, "note: build failure may have been caused by lack of free disk space"),
            (BuildStatus::MiscFailure, "error: writing to file: No space left on device"),
            (BuildStatus::MiscFailure, "all build users are currently in use"),
            (BuildStatus::DependencyFailed, ""),
            (BuildStatus::NoSubstituters, ""),
            (BuildStatus::Other(99), ""),
        ] {
            assert_eq!(of_result(&result(status, message), false).blame(), Blame::Farm, "{status:?} {message}");
        }
    }

    #[test]
    fn a_builder_that_prints_the_words_of_a_full_disk_is_still_to_blame() {
        let quoted = "builder for 'x.drv' failed with exit code 1;\n   last 1 log lines:\n   > No space left on device";
        assert_eq!(of_result(&result(BuildStatus::PermanentFailure, quoted), false), Cause::BuilderFailed);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = bounded("ä".repeat(MAX_FAILURE_MESSAGE_BYTES));
        assert!(cut.len() <= MAX_FAILURE_MESSAGE_BYTES && cut.ends_with('…'));
    }
}
