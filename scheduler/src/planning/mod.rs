//! Taking up a submission: its packs are fetched, every path in them is computed again, and what it needs is planned;
//! all beside the reign, which only enters the result, bit by bit.

mod closure;
mod elsewhere;
mod packs;
mod room;
#[cfg(test)]
mod samples;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drover_bucket::{Bucket, BucketError};
use drover_messages::request::Mode;
use drover_messages::request::{MAX_MANIFESTS, MAX_PACKS, MAX_ROOTS, MAX_TAG_BYTES, MAX_TAGS, Root, Submit};
use drover_messages::{AgentId, BuildId, ClientId, SubmissionId, Timestamp};
use drover_nats::Delivery;
use drover_nats::streams::ACK_WAIT;
use drover_scheduler_core::closure::Closure;
use drover_scheduler_core::plan::{Evidence, How, Known, Plan, Planned, plan};
use drover_scheduler_core::{Build, BuildState, Input, Submission, SubmissionState};
use drover_store::{Family, StorePath};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, spawn_blocking};

use crate::book::{Book, BookError, FAILURES_KNOWN_MILLIS};
use crate::servers::{NoAnswer, Servers};
use crate::work::Desk;
use closure::{Ground, Lesson};
use room::{Claim, Room};

/// Submissions that are planned at once.
const AT_ONCE: usize = 2;
/// How often the broker is told that a submission is in work.
const PROGRESS_EVERY: Duration = Duration::from_secs(ACK_WAIT.as_secs() / 3);
/// The pause before a submission is tried again after trouble that is not its own.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Builds that one commit enters: so few that offers need not wait for long, so many that writing them through to the disk is
/// not most of it.
const BUILDS_OF_COMMIT: usize = 1000;
/// Sources, and items that other servers have: their rows are shorter.
const ITEMS_OF_COMMIT: usize = 2000;
/// Derivations: the rows of these are shorter still.
const LEARNED_OF_COMMIT: usize = 8000;

/// Takes up submissions.
#[derive(Clone)]
pub(crate) struct Planner {
    bucket: Bucket,
    /// What is committed is read here, and does not hold up whoever decides.
    book: Book,
    desk: Desk,
    servers: Option<Servers>,
    places: Arc<Semaphore>,
    in_work: Arc<Mutex<BTreeSet<SubmissionId>>>,
    room: Room,
}

/// Why a submission is not taken up now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotNow {
    /// It never can be: its owner is told.
    #[error("{0}")]
    Never(String),
    /// The farm is in trouble: it is tried again.
    #[error("{0}")]
    Trouble(String),
}

impl From<BookError> for NotNow {
    fn from(error: BookError) -> Self {
        Self::Trouble(error.to_string())
    }
}

impl From<NoAnswer> for NotNow {
    fn from(error: NoAnswer) -> Self {
        Self::Trouble(error.to_string())
    }
}

impl NotNow {
    /// What the bucket does not have was never put there; everything else passes.
    fn of_bucket(what: &str, error: &BucketError) -> Self {
        match error.is_not_found() {
            true => Self::Never(format!("{what} is not in the bucket")),
            false => Self::Trouble(format!("{what}: {error}")),
        }
    }
}

impl Planner {
    /// `servers` are asked for what need not be built, if there are any.
    pub(crate) fn new(bucket: Bucket, book: Book, desk: Desk, servers: Option<Servers>) -> Self {
        let (places, in_work, room) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::default(), Room::default());
        Self { bucket, book, desk, servers, places, in_work, room }
    }

    /// Whether nothing is being planned.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_work.lock().is_ok_and(|in_work| in_work.is_empty())
    }

    /// Takes up a submission, unless it was seen before, and acknowledges it when it is committed.
    pub(crate) async fn take_up(self, client: ClientId, id: SubmissionId, submit: Submit, delivery: Delivery) {
        if submit.submission != id {
            return delivery.set_aside("its subject names another submission than its body").await;
        }
        if !self.in_work.lock().is_ok_and(|mut in_work| in_work.insert(id)) {
            return delivery.give_back(TRY_AGAIN).await;
        }
        tokio::spawn(async move {
            let result = tokio::select! {
                result = self.enter(client, submit) => result,
                () = keep_alive(&delivery) => return,
            };
            match result {
                Ok(()) => delivery.ack().await,
                Err(why) => {
                    tracing::warn!(submission = %id, %why, "a submission cannot be taken up now; it is tried again");
                    delivery.give_back(TRY_AGAIN).await;
                }
            }
            drop(self.in_work.lock().map(|mut in_work| in_work.remove(&id)));
        });
    }

    /// Plans builds of what a build lacks and nothing makes any more, until that is done.
    pub(crate) async fn replan(self, build: BuildId) {
        loop {
            match self.plan_inputs(build).await {
                Ok(()) => return,
                Err(NotNow::Never(why)) => return tracing::error!(%build, why, "what a build lacks cannot be planned"),
                Err(NotNow::Trouble(why)) => tracing::warn!(%build, why, "what a build lacks cannot be planned now; tried again"),
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn plan_inputs(&self, id: BuildId) -> Result<(), NotNow> {
        let asked = self.desk.ask(move |reign| {
            let build = reign.build(id)?;
            let submission = build.as_ref().map(|build| reign.submission(build.submission)).transpose()?.flatten();
            Ok::<_, BookError>(build.zip(submission))
        });
        let Some((build, submission)) = asked.await.ok_or_else(|| NotNow::Trouble("the reign is over".into()))?? else {
            return Ok(());
        };
        let submit = Submit {
            submission: submission.id,
            store_dir: submission.store_dir.clone(),
            roots: vec![Root { build: id, drv: build.recipe.drv.clone() }],
            packs: Vec::new(),
            sources: Vec::new(),
            priority: build.priority,
            tags: submission.tags.clone(),
            input_builds: true,
            mode: Mode::Build,
            terms: submission.terms.clone(),
            submitted_at: submission.submitted_at,
        };
        let ground = Ground::fetch(&self.bucket, &self.book, &submit).await?.verified().await?;
        let available = self.available(&ground.closure)?;
        let mut builds = block_in_place(|| walk(&submit, &ground.closure, &|path: &StorePath| available.contains(path)))?.builds;
        builds.retain(|planned| planned.id != id);
        block_in_place(|| self.look_back(&submit, &mut builds))?;
        let planned = builds.len();
        self.enter_builds(submission.id, builds).await?;
        tracing::info!(build = %id, builds = planned, "what a build lacks is planned");
        Ok(())
    }

    /// Returns when the submission is recorded as living or as rejected.
    async fn enter(&self, client: ClientId, submit: Submit) -> Result<(), String> {
        let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
        let id = submit.submission;
        let seen = self.desk.ask(move |reign| reign.submission(id)).await.ok_or("the reign is over")?;
        let seen = seen.map_err(|error| error.to_string())?;
        if seen.is_some_and(|submission| submission.state != SubmissionState::Planning) {
            return Ok(());
        }
        let submission = submission_of(client, &submit);
        let planned = self.plan(&submission, &submit).await;
        self.room.release(id);
        match planned {
            Ok(()) => Ok(()),
            Err(NotNow::Never(why)) => {
                self.desk.enter([Input::Reject { submission, why }]).await;
                Ok(())
            }
            Err(NotNow::Trouble(why)) => Err(why),
        }
    }

    async fn plan(&self, submission: &Submission, submit: &Submit) -> Result<(), NotNow> {
        check(submit)?;
        let mut ground = Ground::fetch(&self.bucket, &self.book, submit).await?;
        let available = self.available(&ground.closure)?;
        let found = match &self.servers {
            Some(servers) => {
                ground = ground.verified().await?;
                elsewhere::look(servers, submit, &ground.closure, &available).await?
            }
            None => BTreeMap::new(),
        };
        let can_be_fetched = |path: &StorePath| available.contains(path) || found.contains_key(path);
        let plan = block_in_place(|| walk(submit, &ground.closure, &can_be_fetched));
        // A derivation that lies is told before what follows from it.
        let (closure, Lesson { learned, packed }) = ground.lesson(&submit.store_dir).await?;
        let Plan { mut builds, sources } = plan?;
        self.take_room(submission, builds.len() as u64).await?;
        block_in_place(|| self.look_back(submit, &mut builds))?;
        let sources = sources::wanted(&self.bucket, submission, submit, sources, &can_be_fetched).await?;

        let (planned, brought) = (builds.len(), sources.len());
        // What it was planned from is not kept while it is entered, nor waited for while it goes.
        spawn_blocking(move || drop((closure, available)));

        let (submission_id, store_dir) = (submission.id, &submit.store_dir);
        let learned = pieces(learned, LEARNED_OF_COMMIT).map(|drvs| Input::Learn { packed: Vec::new(), drvs });
        let found = pieces(found, ITEMS_OF_COMMIT).map(|found| Input::Found { store_dir: store_dir.clone(), found });
        let sources = pieces(sources, ITEMS_OF_COMMIT).map(|sources| Input::AddSources { submission: submission_id, sources });
        let head = [Input::Learn { packed, drvs: Vec::new() }].into_iter().chain(learned);
        self.desk.enter(head.chain([Input::Enter(submission.clone())]).chain(found).chain(sources)).await;
        self.enter_builds(submission_id, builds).await?;
        self.desk.enter([Input::GoLive { submission: submission_id }]).await;
        tracing::info!(submission = %submission_id, builds = planned, sources = brought, "a submission is taken up");
        Ok(())
    }

    /// Enters builds in the order of their ids, for so their rows lie in the book: each commit writes pages that no other does.
    async fn enter_builds(&self, submission: SubmissionId, mut builds: Vec<Planned>) -> Result<(), NotNow> {
        let next = self.desk.ask(|reign| reign.core().state().next_seq()).await;
        let next = next.ok_or_else(|| NotNow::Trouble("the reign is over".into()))?;
        for (build, seq) in builds.iter_mut().zip(next..) {
            build.seq = Some(seq);
        }
        block_in_place(|| builds.sort_by_cached_key(|build| build.id));
        let builds = pieces(builds, BUILDS_OF_COMMIT);
        self.desk.enter(builds.map(|builds| Input::AddBuilds { submission, builds })).await;
        Ok(())
    }

    /// What of all that is made or needed everybody can fetch.
    fn available(&self, closure: &Closure) -> Result<BTreeSet<StorePath>, NotNow> {
        Ok(block_in_place(|| self.book.available(closure.paths().iter().cloned().collect()))?)
    }

    /// Nobody may queue more than the farm lets them.
    async fn take_room(&self, submission: &Submission, builds: u64) -> Result<(), NotNow> {
        let (room, id, claim) = (self.room.clone(), submission.id, Claim { client: submission.client, builds });
        let taken = self.desk.ask(move |reign| {
            let (state, limit) = (reign.core().state(), reign.core().limits().builds_per_client);
            // There was room for what was entered before the scheduler started anew; some of its builds may count already.
            let was_entered = reign.submission(id)?.is_some();
            Ok::<_, BookError>(room.take(id, claim, state, if was_entered { u64::MAX } else { limit }))
        });
        taken.await.ok_or_else(|| NotNow::Trouble("the reign is over".into()))??.map_err(NotNow::Never)
    }

    /// What is known of the same derivations from before: inputs that failed not long ago, and who built the roots, where
    /// they are to go to others.
    fn look_back(&self, submit: &Submit, builds: &mut [Planned]) -> Result<(), NotNow> {
        let terms = &submit.terms;
        let not_before = Timestamp(Timestamp::now().0.saturating_sub(FAILURES_KNOWN_MILLIS));
        let may_fail_at_once = |build: &Planned| !build.root && build.mode == Mode::Build && !terms.known_failures;
        let asked = builds.iter().filter(|build| may_fail_at_once(build)).map(|build| &build.recipe.drv);
        let failures = self.book.failures(asked, not_before)?;
        for build in builds {
            if build.root && terms.apart {
                build.avoid = built_by(&self.book, build)?;
            }
            if may_fail_at_once(build) {
                build.known_failure = failures.get(&build.recipe.drv).and_then(evidence);
            }
        }
        Ok(())
    }
}

/// Rows for one commit after the other.
fn pieces<T>(rows: impl IntoIterator<Item = T>, most: usize) -> impl Iterator<Item = Vec<T>> {
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let piece: Vec<T> = rows.by_ref().take(most).collect();
        (!piece.is_empty()).then_some(piece)
    })
}

/// The agents that tried a derivation before.
fn built_by(book: &Book, planned: &Planned) -> Result<BTreeSet<AgentId>, BookError> {
    let mut agents = BTreeSet::new();
    for product in planned.recipe.outputs.values() {
        for id in book.makers(&product.path)? {
            agents.extend(book.build(id)?.into_iter().flat_map(|build| build.attempts).map(|attempt| attempt.agent));
        }
    }
    Ok(agents)
}

fn evidence(build: &Build) -> Option<Evidence> {
    let BuildState::Failed { attempt, .. } = build.state else { return None };
    Some(Evidence { build: build.id, attempt, agent: build.attempt(attempt)?.agent })
}

fn walk(submit: &Submit, closure: &Closure, available: &dyn Fn(&StorePath) -> bool) -> Result<Plan, NotNow> {
    let known =
        Known { store_dir: &submit.store_dir, closure, available, whole_closures: submit.store_dir.family() == Family::Guix };
    let how = How { mode: submit.mode, input_builds: submit.input_builds };
    plan(submit.submission, &submit.roots, how, &known).map_err(|error| NotNow::Never(error.to_string()))
}

/// Tells the broker, for as long as it is polled, that the message is in work.
async fn keep_alive(delivery: &Delivery) {
    loop {
        tokio::time::sleep(PROGRESS_EVERY).await;
        delivery.progress().await;
    }
}

fn submission_of(client: ClientId, submit: &Submit) -> Submission {
    Submission {
        id: submit.submission,
        client,
        store_dir: submit.store_dir.clone(),
        roots: submit.roots.iter().map(|root| root.build).collect(),
        priority: submit.priority,
        tags: submit.tags.clone(),
        input_builds: submit.input_builds,
        terms: submit.terms.clone(),
        submitted_at: submit.submitted_at,
        state: SubmissionState::Planning,
    }
}

fn check(submit: &Submit) -> Result<(), NotNow> {
    let never = |why: String| Err(NotNow::Never(why));
    let tag_fits = |(key, value): (&String, &String)| key.len() <= MAX_TAG_BYTES && value.len() <= MAX_TAG_BYTES;
    if submit.roots.is_empty() {
        return never("it names nothing to build".into());
    }
    if submit.roots.len() > MAX_ROOTS {
        return never(format!("it names {} roots; {MAX_ROOTS} is the limit", submit.roots.len()));
    }
    if submit.packs.len() > MAX_PACKS {
        return never(format!("it brings {} packs; {MAX_PACKS} is the limit", submit.packs.len()));
    }
    if submit.sources.len() > MAX_MANIFESTS {
        return never(format!("it brings {} lists of sources; {MAX_MANIFESTS} is the limit", submit.sources.len()));
    }
    if submit.tags.len() > MAX_TAGS || !submit.tags.iter().all(tag_fits) {
        return never(format!("at most {MAX_TAGS} tags, of at most {MAX_TAG_BYTES} bytes each, are taken"));
    }
    let ids: BTreeSet<_> = submit.roots.iter().map(|root| root.build).collect();
    let drvs: BTreeSet<_> = submit.roots.iter().map(|root| &root.drv).collect();
    if ids.len() != submit.roots.len() || drvs.len() != submit.roots.len() {
        return never("it names a root, or the id of one, twice".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use drover_scheduler_core::Limits;

    use super::*;
    use crate::book::samples;
    use crate::reign::Reign;

    #[tokio::test]
    async fn a_submission_that_was_entered_before_a_restart_is_not_counted_against_itself() {
        let client = ClientId::new();
        let builds = [1, 3].map(|n| samples::of(n, "x", BuildState::Waiting { missing: 1 }));
        let entered = Submission { state: SubmissionState::Planning, ..samples::submission(101, client) };
        let (_folder, book) = samples::open(&builds, std::slice::from_ref(&entered));
        let reign = Reign::within(&book, Limits { builds_per_client: 3, ..Limits::default() });
        let (desk, inbox) = Desk::new();
        let reign = std::thread::spawn(move || reign.run(inbox));
        let planner = Planner::new(Bucket::open("memory://").unwrap(), book, desk, None);

        planner.take_room(&entered, 3).await.unwrap();
        let refused = planner.take_room(&samples::submission(105, client), 1).await.unwrap_err();
        assert!(matches!(&refused, NotNow::Never(why) if why.contains("3 of this client are unfinished; 3 is the limit")));
        drop(planner);
        reign.join().unwrap().unwrap();
    }
}
