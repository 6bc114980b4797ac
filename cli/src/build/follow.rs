//! Follows a submission to its end.
//!
//! The truth is the scheduler's answer, asked for again and again; events only say when it is worth asking, and make the
//! lines on the screen. So it survives that broker and scheduler come and go: an event that was lost costs a little time.
//! A scheduler that does not know the submission gets it again.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use drover_messages::event::{Event, What};
use drover_messages::query::{AskSubmission, SubmissionAnswer, SubmissionStatus};
use drover_messages::request::{Mode, Root, Submit};
use drover_messages::{BuildId, Cause};
use drover_nats::{Filter, Incoming, Query, Subscription};
use drover_store::DrvPath;
use tokio::time::{Instant, sleep_until};

use super::closure::Closure;
use super::outcome::{self, Outcome};
use super::progress::Builds as Progress;
use super::submit::publish_once;
use crate::ask::Connection;
use crate::exit::Exit;
use crate::table::printable;
use crate::{human, report};

/// Between two questions, when nothing is heard.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Between two questions, when much is heard.
const ASK_AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// How long the scheduler may not know a submission before it is published again.
const PUBLISH_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Follows until the end; the exit code says how it ended.
pub(crate) async fn run(
    connection: &Connection,
    submit: &Submit,
    closure: &Closure,
    timeout: Option<Duration>,
) -> anyhow::Result<ExitCode> {
    let mut follower = Follower::new(connection, submit, closure, timeout).await;
    let ended = follower.until_the_end().await;
    follower.progress.done();
    match ended {
        Ended::Live(status) => {
            report::submission(connection, &status, submit).await;
            Ok(if outcome::of(&status) == Outcome::Succeeded { Exit::Success } else { Exit::Failed }.into())
        }
        Ended::Rejected(why) => {
            eprintln!("The scheduler refused the submission: {}", printable(&why));
            Ok(Exit::BadInput.into())
        }
        Ended::TimedOut(last) => {
            let id = submit.submission;
            eprintln!("It is not done in time: {}. It goes on; see `drover show {id}`", last.unwrap_or("no news".into()));
            Ok(Exit::Farm.into())
        }
    }
}

/// How following ended.
enum Ended {
    Live(SubmissionStatus),
    Rejected(String),
    TimedOut(Option<String>),
}

struct Follower<'a> {
    connection: &'a Connection,
    submit: &'a Submit,
    names: BTreeMap<BuildId, &'a str>,
    events: Option<Subscription>,
    progress: Progress,
    until: Option<Instant>,
    /// Since when the scheduler says that it does not know the submission.
    unknown_since: Option<Instant>,
    last: Option<String>,
}

impl<'a> Follower<'a> {
    async fn new(connection: &'a Connection, submit: &'a Submit, closure: &'a Closure, timeout: Option<Duration>) -> Self {
        // Without events it only takes longer to notice.
        let events = connection.bus.subscribe(&Filter::Events).await.ok();
        Self {
            connection,
            submit,
            names: names(submit, closure),
            events,
            progress: Progress::new(),
            until: timeout.map(|timeout| Instant::now() + timeout),
            unknown_since: None,
            last: None,
        }
    }

    async fn until_the_end(&mut self) -> Ended {
        loop {
            let asked_at = Instant::now();
            if let Some(ended) = self.ask().await {
                return ended;
            }
            if self.until.is_some_and(|until| Instant::now() >= until) {
                return Ended::TimedOut(self.last.take());
            }
            self.listen(asked_at).await;
        }
    }

    /// Asks how the submission is; `Some` when it has ended.
    async fn ask(&mut self) -> Option<Ended> {
        let question = AskSubmission { submission: self.submit.submission };
        match self.connection.ask_once(Query::Submission, &question).await {
            Ok(SubmissionAnswer::Live(status)) if outcome::of(&status) != Outcome::Open => return Some(Ended::Live(status)),
            Ok(SubmissionAnswer::Live(status)) => {
                self.unknown_since = None;
                self.last = Some(crate::show::counts(&status));
                self.progress.status(&status);
            }
            Ok(SubmissionAnswer::Rejected { why }) => return Some(Ended::Rejected(why)),
            Ok(SubmissionAnswer::Planning) => self.progress.note("the scheduler reads the submission"),
            Ok(SubmissionAnswer::Unknown) => self.unknown().await,
            Err(error) => self.progress.note(&format!("the scheduler is silent ({error}); waiting for it")),
        }
        None
    }

    async fn unknown(&mut self) {
        self.progress.note("queued");
        let since = *self.unknown_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= PUBLISH_AGAIN_AFTER {
            self.unknown_since = None;
            if let Err(error) = publish_once(self.connection, self.submit).await {
                self.progress.note(&format!("the broker does not take it ({error}); trying again"));
            }
        }
    }

    /// Shows events until it is time to ask again: soon after one of ours, else after [`ASK_EVERY`].
    async fn listen(&mut self, asked_at: Instant) {
        let mut ask_at = asked_at + ASK_EVERY;
        if let Some(until) = self.until {
            ask_at = ask_at.min(until);
        }
        loop {
            tokio::select! {
                () = sleep_until(ask_at) => return,
                incoming = next(&mut self.events) => match incoming {
                    Some(incoming) if self.heard(&incoming) => ask_at = ask_at.min(asked_at + ASK_AT_MOST_EVERY),
                    Some(_) => {}
                    None => self.events = None,
                },
            }
        }
    }

    /// Shows an event, if it is of this submission; returns whether it is worth asking.
    fn heard(&self, incoming: &Incoming) -> bool {
        let Ok(event) = incoming.decode::<Event>() else { return false };
        if let Some(line) = line(&event.what, &self.names) {
            self.progress.line(&line);
        }
        concerns(&event.what, self.submit, &self.names)
    }
}

/// What the builds of the submission are called. What is to be checked may have to be built first, under an id of its own.
fn names<'a>(submit: &'a Submit, closure: &'a Closure) -> BTreeMap<BuildId, &'a str> {
    let build = |drv: &'a DrvPath| (BuildId::derived(submit.submission, drv), drv.name_without_drv());
    let before = |root: &'a Root| (BuildId::before_check(submit.submission, &root.drv), root.drv.name_without_drv());
    let checked = submit.roots.iter().filter(|_| submit.mode == Mode::Check);
    closure.drvs.iter().map(build).chain(checked.map(before)).collect()
}

async fn next(events: &mut Option<Subscription>) -> Option<Incoming> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// Whether the submission may stand differently after this.
fn concerns(what: &What, submit: &Submit, names: &BTreeMap<BuildId, &str>) -> bool {
    match what {
        What::SubmissionAccepted { submission, .. } | What::SubmissionRejected { submission, .. } => {
            *submission == submit.submission
        }
        What::ItemAvailable { store_dir, .. } | What::ItemsAvailable { store_dir, .. } => *store_dir == submit.store_dir,
        What::BuildsLeased { leases } => leases.iter().any(|leased| names.contains_key(&leased.build)),
        What::BuildSucceeded { build, .. }
        | What::BuildChecked { build, .. }
        | What::BuildFailed { build, .. }
        | What::BuildBlocked { build, .. }
        | What::BuildReopened { build, .. }
        | What::BuildLeased { build, .. }
        | What::BuildCancelled { build }
        | What::BuildRetried { build }
        | What::BuildDiffers { build, .. }
        | What::AttemptVoid { build, .. } => names.contains_key(build),
        What::BuildPlaced { .. }
        | What::ItemLost { .. }
        | What::ItemGivenUp { .. }
        | What::PublicationRefused { .. }
        | What::WishFulfilled { .. }
        | What::WishRefused { .. }
        | What::AgentJoined { .. }
        | What::AgentLost { .. }
        | What::AgentQuarantined { .. }
        | What::AgentReleased { .. } => false,
    }
}

/// What is worth a line on the screen.
fn line(what: &What, names: &BTreeMap<BuildId, &str>) -> Option<String> {
    match what {
        What::BuildSucceeded { build, already_valid: true, .. } => {
            Some(format!("built    {} (was there already)", names.get(build)?))
        }
        What::BuildDiffers { build, path, .. } => {
            Some(format!("differs  {}: the cache has another {path}, and keeps it", names.get(build)?))
        }
        What::BuildSucceeded { build, build_millis, .. } => {
            Some(format!("built    {} in {}", names.get(build)?, human::duration(*build_millis)))
        }
        What::BuildChecked { build, build_millis, .. } => {
            Some(format!("checked  {} in {}: it came out the same", names.get(build)?, human::duration(*build_millis)))
        }
        What::BuildFailed { build, cause, message, .. } => Some(failure("FAILED  ", names.get(build)?, cause, message)),
        What::AttemptVoid { build, cause, message, .. } => Some(failure("again   ", names.get(build)?, cause, message)),
        What::BuildCancelled { build } => Some(format!("cancelled {}", names.get(build)?)),
        What::BuildRetried { build } => Some(format!("again    {}: it is wanted again", names.get(build)?)),
        What::BuildReopened { build, .. } => Some(format!("again    {}: what it made was lost", names.get(build)?)),
        _ => None,
    }
}

fn failure(word: &str, name: &str, cause: &Cause, message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let more = if first.is_empty() { String::new() } else { format!(" ({})", printable(first)) };
    format!("{word} {name}: {}{more}", cause.words())
}

#[cfg(test)]
mod tests {
    use drover_messages::event::Leased;
    use drover_messages::{AgentId, AttemptId, Epoch, Generation, SubmissionId, Timestamp};
    use drover_store::StoreDir;

    use super::*;

    fn void(build: BuildId) -> What {
        let (attempt, agent) = (AttemptId::new(), AgentId::new());
        What::AttemptVoid { build, attempt, agent, cause: Cause::AgentLost, message: "gone\nfor good".into() }
    }

    #[test]
    fn an_event_of_another_submission_makes_no_line() {
        let ours = BuildId::new();
        let names = BTreeMap::from([(ours, "hello")]);
        assert_eq!(line(&void(ours), &names).unwrap(), "again    hello: the agent was lost (gone)");
        assert_eq!(line(&void(BuildId::new()), &names), None);
    }

    #[test]
    fn what_is_told_of_several_concerns_whoever_is_among_them() {
        let (ours, submission) = (BuildId::new(), SubmissionId::new());
        let submit = Submit {
            submission,
            store_dir: StoreDir::guix(),
            roots: Vec::new(),
            packs: Vec::new(),
            sources: Vec::new(),
            priority: 0,
            tags: BTreeMap::new(),
            input_builds: true,
            mode: Mode::Build,
            terms: Default::default(),
            submitted_at: Timestamp(0),
        };
        let names = BTreeMap::from([(ours, "hello")]);
        let epoch = Epoch { generation: Generation(1), n: 1 };
        let leased = |build| Leased { build, attempt: AttemptId::new(), agent: AgentId::new(), epoch };
        let leases = |builds: &[BuildId]| What::BuildsLeased { leases: builds.iter().copied().map(leased).collect() };
        assert!(concerns(&leases(&[BuildId::new(), ours]), &submit, &names));
        assert!(!concerns(&leases(&[BuildId::new()]), &submit, &names));
        let available = |store_dir| What::ItemsAvailable { store_dir, paths: Vec::new() };
        assert!(concerns(&available(StoreDir::guix()), &submit, &names));
        assert!(!concerns(&available(StoreDir::nix()), &submit, &names));
    }
}
