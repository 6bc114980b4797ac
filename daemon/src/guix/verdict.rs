//! How a build ended, from what the daemon refused and from what it told before.
//!
//! The refusal names no more than the derivation; the reason stands in the texts. Sources: `DerivationGoal::buildDone`,
//! `registerOutputs` and `Worker::exitStatus` in `nix/libstore/build.cc` of Guix.

use super::course::{Course, Failed};
use crate::wire::Refusal;
use crate::{BuildResult, BuildStatus, Job, Options};

/// The status of a refusal when a builder failed, and not for want of disk or of the network.
const BUILDER_FAILED: u64 = 100;
/// The status of a refusal when a build was stopped.
const STOPPED: u64 = 101;

/// How a build ended well: its outputs are valid.
pub(super) fn succeeded(course: &Course) -> BuildResult {
    let status = match course.pid {
        Some(_) => BuildStatus::Built,
        None if course.substituted => BuildStatus::Substituted,
        None => BuildStatus::AlreadyValid,
    };
    BuildResult::new(status, String::new())
}

/// How a build failed.
pub(super) fn failed(refusal: Refusal, course: &Course, job: &Job<'_>, options: &Options) -> BuildResult {
    if refusal.message.contains("may not be deterministic") {
        return BuildResult::new(BuildStatus::NotDeterministic, refusal.message);
    }
    if let (Some((expected, actual)), Some(_)) = (&course.mismatch, course.pid) {
        let message = format!("hash mismatch in the fixed output of {}: expected {expected}, got {actual}", job.drv());
        return BuildResult::new(BuildStatus::OutputRejected, message);
    }
    let (status, message) = match &course.failure {
        Some(Failed::Stopped) => stopped(course, options),
        _ if refusal.status == STOPPED => stopped(course, options),
        Some(Failed::Cached) => (BuildStatus::CachedFailure, all_words(course, &refusal)),
        Some(Failed::Setup(text)) => (BuildStatus::InputRejected, text.clone()),
        Some(Failed::Built(text)) => (of_builder(text, refusal.status, job), with_note_on_disk(text, course)),
        None => (of_daemon(course), all_words(course, &refusal)),
    };
    BuildResult::new(status, message)
}

/// It was too slow, too silent or too talkative.
fn stopped(course: &Course, options: &Options) -> (BuildStatus, String) {
    let why = course.words().rfind(|word| word.contains(" timed out after ") || word.contains(TOO_MUCH_LOG));
    let why = why.unwrap_or("timed out").replace("%2%", &options.build_timeout_secs.to_string()); // Guix 1.5 forgets the number
    let status = if why.contains(TOO_MUCH_LOG) { BuildStatus::LogLimitExceeded } else { BuildStatus::TimedOut };
    (status, why)
}

const TOO_MUCH_LOG: &str = "killed after writing more than";

/// The builder ran. What it exits with is told in words, and so is what is wrong with its outputs. A download that fails
/// ends well, but for its output that is not there.
fn of_builder(text: &str, status: u64, job: &Job<'_>) -> BuildStatus {
    let says = |how: &[&str]| how.iter().any(|how| text.contains(how));
    let exited = says(&[" failed with exit code ", " failed due to signal ", " died abnormally"]);
    let no_download = job.is_fixed_output() && says(&[" failed to produce output path "]);
    match (exited, status) {
        (true, BUILDER_FAILED) => BuildStatus::PermanentFailure,
        (true, _) => BuildStatus::TransientFailure,
        (false, _) if no_download => BuildStatus::TransientFailure,
        (false, _) => BuildStatus::OutputRejected,
    }
}

/// The builder did not run: something is missing, or the daemon cannot build for that system.
fn of_daemon(course: &Course) -> BuildStatus {
    let below = course.words().any(|word| word.contains("dependencies couldn't be built"));
    if below { BuildStatus::DependencyFailed } else { BuildStatus::MiscFailure }
}

/// The daemon guesses at a full disk, and says so before it tells of the failure.
fn with_note_on_disk(text: &str, course: &Course) -> String {
    match course.words().find(|word| word.contains("lack of free disk space")) {
        Some(note) => format!("{text}\n{note}"),
        None => text.to_owned(),
    }
}

fn all_words(course: &Course, refusal: &Refusal) -> String {
    let words: Vec<&str> = course.words().chain([refusal.message.as_str()]).collect();
    words.join("\n")
}
