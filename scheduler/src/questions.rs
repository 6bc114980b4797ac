//! Questions of people, answered from what is committed.

use std::sync::Arc;

use drover_messages::query::*;
use drover_messages::why::*;
use drover_messages::{AgentId, Message};
use drover_nats::{Incoming, Query};
use tokio::sync::Semaphore;

use crate::book::BookError;
use crate::calls::{refuse, told};
use crate::reign::Reign;
use crate::{listing, records, status, summaries, work};

/// Questions at once that look through what is recorded.
const LISTS_AT_ONCE: usize = 2;
/// Submissions at once of which it is counted what came to nothing.
const COUNTS_AT_ONCE: usize = 2;

/// Where questions are answered.
#[derive(Clone)]
pub(crate) struct Desk {
    desk: work::Desk,
    lists: Arc<Semaphore>,
    counts: Arc<Semaphore>,
}

impl Desk {
    pub(crate) fn new(desk: work::Desk) -> Self {
        let [lists, counts] = [LISTS_AT_ONCE, COUNTS_AT_ONCE].map(|most| Arc::new(Semaphore::new(most)));
        Self { desk, lists, counts }
    }

    pub(crate) async fn answer(self, query: Query, incoming: Incoming) {
        match query {
            Query::Missing => self.put(incoming, missing).await,
            Query::Submission => self.submission(incoming).await,
            Query::Builds => self.list(incoming).await,
            Query::Build => self.put(incoming, build).await,
            Query::Agents => self.put(incoming, agents).await,
            Query::Why => self.put(incoming, why).await,
            Query::Records => self.records(incoming).await,
        }
    }

    async fn put<Q, A>(&self, incoming: Incoming, answer: fn(&Reign, Q) -> Result<A, Unanswerable>)
    where
        Q: Message + Send + 'static,
        A: Message + Send + 'static,
    {
        let question: Q = match incoming.decode() {
            Ok(question) => question,
            Err(error) => return refuse(&incoming, &error.to_string()).await,
        };
        tell(incoming, self.desk.ask(move |reign| answer(reign, question)).await).await;
    }

    async fn submission(&self, incoming: Incoming) {
        let question = match incoming.decode() {
            Ok(question) => question,
            Err(error) => return refuse(&incoming, &error.to_string()).await,
        };
        let Ok(_place) = self.counts.acquire().await else { return };
        tell(incoming, status::answer(&self.desk, question).await.map(|status| status.map_err(Unanswerable::from))).await;
    }

    async fn list(&self, incoming: Incoming) {
        let question = match incoming.decode() {
            Ok(question) => question,
            Err(error) => return refuse(&incoming, &error.to_string()).await,
        };
        let Ok(_place) = self.lists.acquire().await else { return };
        tell(incoming, listing::list(&self.desk, question).await.map(|found| found.map_err(Unanswerable::from))).await;
    }

    async fn records(&self, incoming: Incoming) {
        let question = match incoming.decode() {
            Ok(question) => question,
            Err(error) => return refuse(&incoming, &error.to_string()).await,
        };
        let Ok(_place) = self.lists.acquire().await else { return };
        let Some(book) = self.desk.ask(|reign| reign.book().clone()).await else { return };
        let page = tokio::task::spawn_blocking(move || records::page(book, question)).await;
        tell(incoming, page.ok().map(|page| page.map_err(Unanswerable::from))).await;
    }
}

/// The answer; none, when the reign is over.
async fn tell<A: Message + 'static>(incoming: Incoming, answer: Option<Result<A, Unanswerable>>) {
    match answer {
        Some(Ok(answer)) => told(incoming.respond(&answer).await),
        Some(Err(why)) => refuse(&incoming, &why.to_string()).await,
        None => {}
    }
}

/// Why a question gets no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswerable {
    #[error(transparent)]
    Book(#[from] BookError),
    #[error("{0} paths in one question; {MAX_PAGE} is the limit")]
    TooMany(usize),
}

fn missing(reign: &Reign, asked: AskMissing) -> Result<Missing, Unanswerable> {
    let paths = asked.drvs.len() + asked.sources.len();
    if paths > MAX_PAGE {
        return Err(Unanswerable::TooMany(paths));
    }
    let mut drvs = asked.drvs;
    let mut error = None;
    drvs.retain(|drv| match reign.book().learned(drv) {
        Ok(learned) => learned.is_none(),
        Err(found) => {
            error = Some(found);
            true
        }
    });
    error.map_or(Ok(()), Err)?;
    let available = reign.available(asked.sources.clone())?;
    Ok(Missing { drvs, sources: asked.sources.difference(&available).cloned().collect() })
}

fn build(reign: &Reign, asked: AskBuild) -> Result<BuildAnswer, Unanswerable> {
    let Some(build) = reign.build(asked.build)? else { return Ok(BuildAnswer::Unknown) };
    Ok(BuildAnswer::Known(Box::new(summaries::detail(reign, &build)?)))
}

fn why(reign: &Reign, asked: AskWhy) -> Result<WhyAnswer, Unanswerable> {
    let Some(build) = reign.build(asked.build)? else { return Ok(WhyAnswer::Unknown) };
    Ok(WhyAnswer::Known(Box::new(crate::why::why(reign, &build)?)))
}

fn agents(reign: &Reign, asked: AskAgents) -> Result<Agents, Unanswerable> {
    let state = reign.core().state();
    let is_behind = |id: &AgentId| asked.after.is_none_or(|after| *id > after);
    let here = state.agents().filter(|(id, _)| is_behind(id)).take(MAX_PAGE + 1);
    let absent = state.absent().filter(|(id, _)| is_behind(id)).take(MAX_PAGE + 1);
    let mut agents: Vec<AgentRow> = here.map(|(id, agent)| summaries::agent(reign, id, agent)).collect();
    agents.extend(absent.map(|(id, known)| summaries::absent(reign, id, known)));
    agents.sort_unstable_by_key(|row| row.agent);
    let more = agents.len() > MAX_PAGE;
    agents.truncate(MAX_PAGE);
    Ok(Agents { agents, more })
}
