//! The connection to a farm, and questions to its scheduler that end within a time, with words that say what to do.
//!
//! It knows subjects and patience. What the answers mean, the commands know.

use std::any::Any;
use std::time::Duration;

use anyhow::{Context, anyhow};
use drover_bucket::Bucket;
use drover_messages::query::{AskBuild, AskSubmission, BuildAnswer, SubmissionAnswer};
use drover_messages::{BuildId, ClientId, Message, SubmissionId};
use drover_nats::{Admin, Bus, Query, RequestError, Subject};
use tokio::time::{Instant, sleep, timeout};

use crate::exit::bad_input;
use crate::farm::{Access, FarmArgs};

/// How long connecting may take. The broker may be starting.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long to go on asking while the scheduler is away: it may be starting anew.
const PATIENCE: Duration = Duration::from_secs(15);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A connection to a farm.
#[derive(Clone)]
pub(crate) struct Connection {
    /// The broker.
    pub(crate) bus: Bus,
    /// How it was reached.
    pub(crate) access: Access,
}

impl Connection {
    /// Connects, or says why not within [`CONNECT_WITHIN`].
    pub(crate) async fn open(farm: &FarmArgs) -> anyhow::Result<Self> {
        let access = farm.access()?;
        let url = &access.login.url;
        match timeout(CONNECT_WITHIN, Bus::connect(&access.login)).await {
            Ok(Ok(bus)) => Ok(Self { bus, access }),
            Ok(Err(error)) => Err(bad_input(error.to_string())),
            Err(_) => Err(anyhow!(
                "no connection to the broker at {url} within {} s. Does the farm run (`drover up`)? Is the login {} known there?",
                CONNECT_WITHIN.as_secs(),
                access.id
            )),
        }
    }

    /// Who we are.
    pub(crate) fn client(&self) -> ClientId {
        ClientId::from_uuid(self.access.id)
    }

    /// The bucket, which not every command needs.
    pub(crate) fn bucket(&self) -> anyhow::Result<Bucket> {
        let url = self.access.bucket.as_deref().ok_or_else(|| bad_input("which bucket? Name it by --bucket"))?;
        Bucket::open(url).with_context(|| format!("the bucket {url}"))
    }

    /// Asks the scheduler once.
    pub(crate) async fn ask_once<M: Message + Any, A: Message>(&self, what: Query, message: &M) -> Result<A, RequestError> {
        self.bus.request(&Subject::Query(what), message, ANSWER_WITHIN).await
    }

    /// Asks the scheduler, again while it is away, for [`PATIENCE`].
    pub(crate) async fn ask<M: Message + Any, A: Message>(&self, what: Query, message: &M) -> anyhow::Result<A> {
        self.patiently(&Subject::Query(what), message).await
    }

    /// Asks for something of administration.
    pub(crate) async fn administer<M: Message + Any, A: Message>(&self, what: Admin, message: &M) -> anyhow::Result<A> {
        self.patiently(&Subject::Admin(what), message).await
    }

    /// Asks for something of administration that takes its time. It would be done again if it were asked for again, so that
    /// is done only where nobody has heard the question.
    pub(crate) async fn administer_once<M: Message + Any, A: Message>(
        &self,
        what: Admin,
        message: &M,
        within: Duration,
    ) -> anyhow::Result<A> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.bus.request(&Subject::Admin(what), message, within).await {
                Ok(answer) => return Ok(answer),
                Err(RequestError::NoResponders) if Instant::now() < until => sleep(ASK_AGAIN_AFTER).await,
                Err(RequestError::Timeout) => return Err(no_answer(RequestError::Timeout, within)),
                Err(error) => return Err(no_answer(error, PATIENCE)),
            }
        }
    }

    async fn patiently<M: Message + Any, A: Message>(&self, subject: &Subject, message: &M) -> anyhow::Result<A> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.bus.request(subject, message, ANSWER_WITHIN).await {
                Ok(answer) => return Ok(answer),
                Err(RequestError::NoResponders | RequestError::Timeout) if Instant::now() < until => {
                    sleep(ASK_AGAIN_AFTER).await;
                }
                Err(error) => return Err(no_answer(error, PATIENCE)),
            }
        }
    }

    /// One build in full.
    pub(crate) async fn build(&self, build: BuildId) -> anyhow::Result<BuildAnswer> {
        self.ask(Query::Build, &AskBuild { build }).await
    }

    /// How a submission does.
    pub(crate) async fn submission(&self, submission: SubmissionId) -> anyhow::Result<SubmissionAnswer> {
        self.ask(Query::Submission, &AskSubmission { submission }).await
    }
}

/// Why there is no answer, after one was awaited for so long.
fn no_answer(error: RequestError, waited: Duration) -> anyhow::Error {
    let silent = |how: &str| {
        anyhow!(
            "the scheduler is silent: the broker is there, but {how} for {} s. See the log of drover-scheduler \
             (`drover up` keeps it in its folder, log/scheduler.log)",
            waited.as_secs()
        )
    };
    match error {
        RequestError::Problem(words) => bad_input(words),
        RequestError::Forbidden => bad_input("this login may not: it takes one of the role admin"),
        RequestError::Broken(words) => anyhow!("the scheduler's answer cannot be used: {words}"),
        RequestError::NoResponders => silent("nobody answers"),
        RequestError::Timeout => silent("there is no answer"),
    }
}
