//! `drover logs`: the log of a build: the finished one from the bucket, else what its agent has said so far.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use drover_bucket::Bucket;
use drover_messages::query::{AttemptDetail, BuildAnswer, BuildDetail, StateName};
use drover_messages::report::SealedLog;
use drover_messages::{AttemptId, BuildId};
use drover_nats::{Filter, LogChunk, Replay, Subject, streams};
use tokio::time::{Instant, sleep, timeout_at};

use crate::ask::Connection;
use crate::exit::{Exit, bad_input};
use crate::farm::FarmArgs;
use crate::{out, sealed};

/// How often to ask whether an attempt is over, while its log is followed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the last words of an attempt that is over may take to arrive.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);

/// Print the log of a build.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The build
    #[arg(value_name = "BUILD")]
    build: BuildId,
    /// Of this attempt, in place of the last
    #[arg(long, value_name = "UUID")]
    attempt: Option<AttemptId>,
    /// Wait for it to begin, and follow it to its end
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    farm: FarmArgs,
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&args.farm).await?;
    let (build, attempt) = match begun(&connection, args).await? {
        Some(begun) => begun,
        None => {
            eprintln!("Nothing of {} was tried yet; -f waits for it.", args.build);
            return Ok(Exit::Success.into());
        }
    };
    if let Some(log) = &attempt.log {
        sealed::copy(&connection.bucket()?, log, out::stdout()).await?;
        return Ok(Exit::Success.into());
    }
    live(&connection, build, attempt.attempt, args.follow).await?;
    Ok(Exit::Success.into())
}

/// The attempt whose log is asked for, once there is one, and the build that it is of: where that was known to fail, the one
/// that had failed before.
async fn begun(connection: &Connection, args: &Args) -> anyhow::Result<Option<(BuildId, AttemptDetail)>> {
    let (mut build, mut attempt) = (args.build, args.attempt);
    loop {
        let known = detail(connection, build).await?;
        if let (None, Some(evidence)) = (attempt, known.evidence) {
            eprintln!(
                "{build} was not tried, for another build of it failed not long ago: this is the log of {}",
                evidence.build
            );
            (build, attempt) = (evidence.build, Some(evidence.attempt));
            continue;
        }
        let found = match attempt {
            Some(wanted) => known.attempts.iter().find(|attempt| attempt.attempt == wanted),
            None => known.attempts.last(),
        };
        match found {
            Some(found) => return Ok(Some((build, found.clone()))),
            None if attempt.is_some() => return Err(bad_input(format!("{build} has no such attempt"))),
            None if args.follow && !is_over(&known) => sleep(LOOK_EVERY).await,
            None => return Ok(None),
        }
    }
}

async fn detail(connection: &Connection, build: BuildId) -> anyhow::Result<Box<BuildDetail>> {
    match connection.build(build).await? {
        BuildAnswer::Known(build) => Ok(build),
        BuildAnswer::Unknown => Err(bad_input(format!("the scheduler knows no build {build}"))),
    }
}

fn is_over(build: &BuildDetail) -> bool {
    matches!(build.summary.state, StateName::Succeeded | StateName::Failed | StateName::Cancelled)
}

/// Whether this attempt will say nothing more.
fn has_ended(build: &BuildDetail, attempt: AttemptId) -> bool {
    let newest = build.attempts.last().is_some_and(|last| last.attempt == attempt);
    let this = build.attempts.iter().find(|known| known.attempt == attempt);
    !newest || is_over(build) || this.is_some_and(|this| this.cause.is_some())
}

/// Prints what was said so far, and what is said from now on if that is wanted.
async fn live(connection: &Connection, build: BuildId, attempt: AttemptId, follow: bool) -> anyhow::Result<()> {
    let mut log = Live { attempt, printed: 0 };
    let mut replay = connection.bus.replay(streams::LOGS, Filter::LogsOfBuild(build)).await?;
    while let Some(incoming) = replay.next_stored().await? {
        log.print(&incoming)?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        log.print_until(&mut replay, Instant::now() + LOOK_EVERY).await?;
        let build = detail(connection, build).await?;
        match sealed_log(&build, attempt) {
            Some(sealed) => return log.print_rest(&connection.bucket()?, sealed).await,
            None if has_ended(&build, attempt) => return log.print_until(&mut replay, Instant::now() + LAST_WORDS_WITHIN).await,
            None => {}
        }
    }
}

fn sealed_log(build: &BuildDetail, attempt: AttemptId) -> Option<&SealedLog> {
    build.attempts.iter().find(|known| known.attempt == attempt)?.log.as_ref()
}

/// A log as it comes: pieces may come twice, or with gaps.
struct Live {
    attempt: AttemptId,
    /// Up to which byte of the log it is on the screen.
    printed: u64,
}

impl Live {
    async fn print_until(&mut self, replay: &mut Replay, until: Instant) -> anyhow::Result<()> {
        while let Ok(incoming) = timeout_at(until, replay.next()).await {
            self.print(&incoming?)?;
        }
        Ok(())
    }

    /// Prints what the finished log has beyond that.
    async fn print_rest(&self, bucket: &Bucket, log: &SealedLog) -> anyhow::Result<()> {
        sealed::copy(bucket, log, Beyond { left_out: self.printed, out: out::stdout() }).await
    }

    fn print(&mut self, incoming: &drover_nats::Incoming) -> anyhow::Result<()> {
        let ours = matches!(&incoming.subject, Subject::Log { attempt, .. } if *attempt == self.attempt);
        if let Some(chunk) = LogChunk::of(incoming).filter(|_| ours) {
            let mut out = out::stdout();
            out.write_all(&self.fresh(&chunk))?;
            out.flush()?;
        }
        Ok(())
    }

    /// What of a piece was not printed yet, with a word about what is missing before it.
    fn fresh(&mut self, chunk: &LogChunk) -> Vec<u8> {
        let end = chunk.offset + chunk.text.len() as u64;
        let known = self.printed.saturating_sub(chunk.offset).min(chunk.text.len() as u64) as usize;
        let mut text = Vec::new();
        if chunk.offset > self.printed {
            text.extend_from_slice(format!("\n[… {} bytes are missing …]\n", chunk.offset - self.printed).as_bytes());
        }
        text.extend_from_slice(&chunk.text[known..]);
        self.printed = self.printed.max(end);
        text
    }
}

/// Passes on what comes after so many bytes.
struct Beyond<W> {
    left_out: u64,
    out: W,
}

impl<W: Write> Write for Beyond<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let skip = self.left_out.min(bytes.len() as u64);
        self.left_out -= skip;
        self.out.write_all(&bytes[skip as usize..])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: u64, text: &'static str) -> LogChunk {
        LogChunk { offset, gap: 0, text: text.into() }
    }

    #[test]
    fn a_piece_that_comes_twice_is_printed_once() {
        let mut log = Live { attempt: AttemptId::new(), printed: 0 };
        assert_eq!(log.fresh(&chunk(0, "one\n")), b"one\n");
        assert_eq!(log.fresh(&chunk(0, "one\n")), b"");
        assert_eq!(log.fresh(&chunk(2, "e\ntwo\n")), b"two\n");
    }

    #[test]
    fn the_finished_log_is_printed_from_where_the_live_one_ended() {
        let mut beyond = Beyond { left_out: 5, out: Vec::new() };
        for piece in ["one", "\ntwo", "\n"] {
            beyond.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(beyond.out, b"wo\n");
    }

    #[test]
    fn a_gap_is_told() {
        let mut log = Live { attempt: AttemptId::new(), printed: 0 };
        log.fresh(&chunk(0, "one\n"));
        assert_eq!(log.fresh(&chunk(10, "two\n")), b"\n[\xe2\x80\xa6 6 bytes are missing \xe2\x80\xa6]\ntwo\n");
    }
}
