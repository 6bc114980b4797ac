//! What a finished submission left: where its outputs are, what failed and why, and what stands behind that.
//!
//! Everything here is for people; what cannot be had is left out, for the exit code says the rest.

use drover_bucket::Bucket;
use drover_messages::query::{AskBuild, AttemptDetail, BuildAnswer, BuildDetail, BuildSummary, StateName, SubmissionStatus};
use drover_messages::request::Submit;
use drover_nats::Query;

use crate::ask::Connection;
use crate::table::printable;
use crate::{human, sealed};

/// At most so many failed builds are told with their logs' ends.
const FAILURES_SHOWN: usize = 5;
/// Lines of a failed build's log.
const LOG_LINES: usize = 12;
/// At most so many blocked builds are named.
const BLOCKED_SHOWN: usize = 20;

/// Tells how it ended.
pub(crate) async fn submission(connection: &Connection, status: &SubmissionStatus, submit: &Submit) {
    if status.failed.is_empty() && status.blocked.is_empty() {
        eprintln!("Done: {}.", crate::show::counts(status));
        return;
    }
    let bucket = connection.bucket().ok();
    for build in status.failed.iter().take(FAILURES_SHOWN) {
        failed(connection, bucket.as_ref(), build).await;
    }
    let more = status.failed.len().saturating_sub(FAILURES_SHOWN);
    if more > 0 {
        let all = format!("drover list --submission {} --state failed", submit.submission);
        eprintln!("\n… and {} more: {all}", human::count(more as u64, "failed build"));
    }
    blocked(status);
    eprintln!("\nNot done: {}.", crate::show::counts(status));
}

async fn failed(connection: &Connection, bucket: Option<&Bucket>, build: &BuildSummary) {
    let name = build.drv.name_without_drv();
    let failed = if build.state == StateName::Deferred { "was given up" } else { "failed" };
    let answer = connection.ask_once(Query::Build, &AskBuild { build: build.build }).await;
    let detail = match answer {
        Ok(BuildAnswer::Known(detail)) => detail,
        _ => return eprintln!("\n{name} {failed}: {}", printable(&build.reason)),
    };
    let Some(attempt) = last_failure(&detail) else {
        eprintln!("\n{name} {failed}: {}", printable(&build.reason));
        return detail.evidence.iter().for_each(|_| log_hint(build));
    };
    let cause = attempt.cause.as_ref().map(|cause| cause.words()).unwrap_or("it failed");
    eprintln!("\n{name} {failed}: {cause}");
    let log = match (bucket, &attempt.log) {
        (Some(bucket), Some(log)) => sealed::tail(bucket, log, LOG_LINES).await.unwrap_or_default(),
        _ => Vec::new(),
    };
    // The daemon repeats the end of the log in its message: once is enough.
    let message_lines = if log.is_empty() { LOG_LINES } else { 1 };
    for line in attempt.message.lines().take(message_lines) {
        eprintln!("  {}", printable(line));
    }
    for line in &log {
        eprintln!("  | {}", printable(line));
    }
    log_hint(build);
    for kept in &attempt.kept {
        let path = build.store_dir.path(&kept.path);
        eprintln!("  {path} came out differently: what came out is kept in the bucket as {}", printable(&kept.nar.key));
    }
}

fn log_hint(build: &BuildSummary) {
    eprintln!("  Its log: drover logs {}", build.build);
}

fn last_failure(build: &BuildDetail) -> Option<&AttemptDetail> {
    build.attempts.iter().rev().find(|attempt| attempt.cause.is_some())
}

fn blocked(status: &SubmissionStatus) {
    if status.blocked.is_empty() {
        return;
    }
    let name_of = |id| status.failed.iter().find(|failed| failed.build == id).map(|failed| failed.drv.name_without_drv());
    eprintln!();
    for build in status.blocked.iter().take(BLOCKED_SHOWN) {
        let behind = match build.blocked_by {
            Some(by) => name_of(by).map_or_else(|| by.to_string(), str::to_owned),
            None => printable(&build.reason),
        };
        eprintln!("{} is blocked by {behind}", build.drv.name_without_drv());
    }
    let more = status.blocked.len().saturating_sub(BLOCKED_SHOWN);
    if more > 0 {
        eprintln!("… and {} more", human::count(more as u64, "blocked build"));
    }
}
