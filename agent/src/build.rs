//! The second stage, on a slot: the store daemon builds.
//!
//! This knows one daemon connection, one derivation and one log. That the slot is free afterwards is the caller's affair.

use std::time::Instant;

use drover_daemon::{BuildMode, BuildResult, BuildStatus, DaemonError, Event, Job, StoreDaemon};
use drover_messages::report::Times;
use drover_messages::{Cause, Timestamp};
use drover_store::{Derivation, DrvPath, StorePath};

use crate::build_log::BuildLog;
use crate::cause_of;
use crate::daemon_pool::DaemonPool;
use crate::failure::Failure;

/// A success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Success {
    /// The store had the outputs already.
    pub already_valid: bool,
}

/// Builds a derivation whose inputs are in the store. The daemon's time is noted in `times`, however it ends.
///
/// Dropped before its end it drops the connection, which makes the daemon kill the builder.
pub async fn build(
    daemons: &DaemonPool,
    drv: &DrvPath,
    derivation: &Derivation,
    inputs: impl IntoIterator<Item = StorePath>,
    log: &BuildLog,
    times: &mut Times,
) -> Result<Success, Failure> {
    let job = Job::new(drv, derivation, inputs);
    let start = Instant::now();
    times.started_at = Timestamp::now();
    let result = tokio::select! {
        result = run(daemons, &job, log) => Some(result),
        () = log.follow() => None,
        () = log.overflows() => None,
    };
    times.build_micros = start.elapsed().as_micros() as u64;
    times.stopped_at = Timestamp::now();
    match result {
        None => Err(Failure::new(Cause::TooLarge, "the log is larger than it may be")),
        Some(Err(error)) => Err(Failure::of(cause_of::of_error(&error), &error)),
        Some(Ok(result)) => judge(&result, derivation),
    }
}

async fn run(daemons: &DaemonPool, job: &Job<'_>, log: &BuildLog) -> Result<BuildResult, DaemonError> {
    loop {
        let mut daemon = daemons.take().await?;
        let mut told = |event| {
            if let Event::Line(line) = event {
                log.line(&line);
            }
        };
        match daemon.build(job, BuildMode::Normal, &mut told).await {
            Err(error) if daemon.went_stale(&error) => {}
            result => return result,
        }
    }
}

fn judge(result: &BuildResult, derivation: &Derivation) -> Result<Success, Failure> {
    if result.status.is_success() {
        return Ok(Success { already_valid: result.status != BuildStatus::Built });
    }
    let cause = cause_of::of_result(result, derivation.is_fixed_output());
    let message = if result.message.is_empty() { result.status.to_string() } else { result.message.clone() };
    Err(Failure::new(cause, message))
}
