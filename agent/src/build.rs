//! The second stage, on a slot: the store daemon builds, for the first time or to check.
//!
//! This knows one daemon connection, one derivation and one log. That the slot is free afterwards is the caller's affair.

use std::time::Instant;

use drover_daemon::{BuildMode, BuildResult, DaemonError, Event, Job, StoreDaemon};
use drover_messages::report::Times;
use drover_messages::{Cause, Timestamp};

use crate::build_log::BuildLog;
use crate::cause_of;
use crate::daemon_pool::DaemonPool;
use crate::failure::Failure;

/// Has a derivation built whose inputs are in the store. The daemon's time is noted in `times`, however it ends; its
/// own words go to `on_message`.
///
/// Dropped before its end it drops the connection, which makes the daemon kill the builder.
pub async fn build(
    daemons: &DaemonPool,
    job: &Job<'_>,
    mode: BuildMode,
    log: &BuildLog,
    times: &mut Times,
    on_message: impl FnMut(&str) + Send,
) -> Result<BuildResult, Failure> {
    let start = Instant::now();
    times.started_at = Timestamp::now();
    let result = tokio::select! {
        result = run(daemons, job, mode, log, on_message) => Some(result),
        () = log.follow() => None,
        () = log.overflows() => None,
    };
    times.build_micros = start.elapsed().as_micros() as u64;
    times.stopped_at = Timestamp::now();
    match result {
        None => Err(Failure::new(Cause::TooLarge, "the log is larger than it may be")),
        Some(result) => result.map_err(|error| Failure::of(cause_of::of_error(&error), &error)),
    }
}

async fn run(
    daemons: &DaemonPool,
    job: &Job<'_>,
    mode: BuildMode,
    log: &BuildLog,
    mut on_message: impl FnMut(&str) + Send,
) -> Result<BuildResult, DaemonError> {
    loop {
        let mut daemon = daemons.take().await?;
        let mut told = |event| match event {
            Event::Line(line) => log.line(&line),
            Event::Message(words) => on_message(&words),
            _ => {}
        };
        match daemon.build(job, mode, &mut told).await {
            Err(error) if daemon.went_stale(&error) => {}
            result => return result,
        }
    }
}
