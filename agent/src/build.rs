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
use crate::peak_memory::PeakMemory;

/// Has a derivation built whose inputs are in the store. The daemon's time and the builder's memory are noted in
/// `times`, however it ends; the daemon's own words go to `on_message`.
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
    let peak = PeakMemory::default();
    times.started_at = Timestamp::now();
    let result = tokio::select! {
        result = run(daemons, job, mode, log, &peak, on_message) => Some(result),
        () = log.follow() => None,
        () = log.overflows() => None,
    };
    times.build_micros = start.elapsed().as_micros() as u64;
    times.stopped_at = Timestamp::now();
    times.peak_memory_mib = peak.mib();
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
    peak: &PeakMemory,
    mut on_message: impl FnMut(&str) + Send,
) -> Result<BuildResult, DaemonError> {
    loop {
        let mut daemon = daemons.take().await?;
        let mut told = |event| match event {
            Event::Line(line) => log.line(&line),
            Event::Message(words) => on_message(&words),
            _ => {}
        };
        let memory = peak.follow(daemon.worker());
        let result = tokio::select! {
            result = daemon.build(job, mode, &mut told) => result,
            never = memory => match never {},
        };
        match result {
            Err(error) if daemon.went_stale(&error) => {}
            result => return result,
        }
    }
}
