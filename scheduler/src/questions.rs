//! Questions of people, answered from what is committed.

use drover_messages::Message;
use drover_messages::query::*;
use drover_nats::{Incoming, Query};
use drover_scheduler_core::SubmissionState;

use crate::book::BookError;
use crate::calls::{refuse, told};
use crate::reign::Reign;
use crate::{summaries, work};

/// Builds that one question looks at; a page may come out short, and then says that more follow.
const LOOKED_AT: usize = 20_000;

/// Where questions are answered.
#[derive(Clone)]
pub(crate) struct Desk(pub(crate) work::Desk);

impl Desk {
    pub(crate) async fn answer(self, query: Query, incoming: Incoming) {
        match query {
            Query::Missing => self.put(incoming, missing).await,
            Query::Submission => self.put(incoming, submission).await,
            Query::Builds => self.put(incoming, builds).await,
            Query::Build => self.put(incoming, build).await,
            Query::Agents => self.put(incoming, agents).await,
            Query::Why => self.put(incoming, why).await,
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
        match self.0.ask(move |reign| answer(reign, question)).await {
            Some(Ok(answer)) => told(incoming.respond(&answer).await),
            Some(Err(why)) => refuse(&incoming, &why.to_string()).await,
            None => {}
        }
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

fn submission(reign: &Reign, asked: AskSubmission) -> Result<SubmissionAnswer, Unanswerable> {
    let Some(submission) = reign.submission(asked.submission)? else { return Ok(SubmissionAnswer::Unknown) };
    Ok(match &submission.state {
        SubmissionState::Planning => SubmissionAnswer::Planning,
        SubmissionState::Rejected { why } => SubmissionAnswer::Rejected { why: why.clone() },
        SubmissionState::Live { builds } | SubmissionState::Cancelled { builds } => {
            SubmissionAnswer::Live(summaries::submission(reign, &submission, *builds)?)
        }
    })
}

fn build(reign: &Reign, asked: AskBuild) -> Result<BuildAnswer, Unanswerable> {
    let Some(build) = reign.build(asked.build)? else { return Ok(BuildAnswer::Unknown) };
    Ok(BuildAnswer::Known(Box::new(summaries::detail(reign, &build)?)))
}

fn why(reign: &Reign, asked: AskWhy) -> Result<WhyAnswer, Unanswerable> {
    let Some(build) = reign.build(asked.build)? else { return Ok(WhyAnswer::Unknown) };
    Ok(WhyAnswer::Known(Box::new(crate::why::why(reign, &build)?)))
}

fn builds(reign: &Reign, asked: AskBuilds) -> Result<Builds, Unanswerable> {
    let limit = (asked.limit as usize).clamp(1, MAX_PAGE);
    let mut page = Builds { builds: Vec::new(), more: false };
    let mut looked_at = 0;
    let mut failed = None;
    let mut tags_fit = TagFilter::new(reign, &asked);
    reign.book().builds_before(asked.submission, asked.after, |recorded| {
        if page.builds.len() == limit || looked_at == LOOKED_AT {
            page.more = true;
            return false;
        }
        looked_at += 1;
        let build = reign.core().state().build(recorded.id).unwrap_or(&recorded);
        let wanted = asked.state.is_none_or(|state| build.state.name() == state) && tags_fit.fit(build.submission);
        match summaries::summary(reign, build) {
            Ok(summary) if wanted => page.builds.push(summary),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(page), |error| Err(error.into()))
}

/// Whether a build's submission has the tags that are asked for; neighbours mostly share one.
struct TagFilter<'a> {
    reign: &'a Reign,
    asked: &'a AskBuilds,
    last: Option<(drover_messages::SubmissionId, bool)>,
}

impl<'a> TagFilter<'a> {
    fn new(reign: &'a Reign, asked: &'a AskBuilds) -> Self {
        Self { reign, asked, last: None }
    }

    fn fit(&mut self, id: drover_messages::SubmissionId) -> bool {
        if self.asked.tags.is_empty() {
            return true;
        }
        if let Some((last, fits)) = self.last
            && last == id
        {
            return fits;
        }
        let submission = self.reign.submission(id).ok().flatten();
        let fits = submission.is_some_and(|s| self.asked.tags.iter().all(|(key, value)| s.tags.get(key) == Some(value)));
        self.last = Some((id, fits));
        fits
    }
}

fn agents(reign: &Reign, _: AskAgents) -> Result<Agents, Unanswerable> {
    let agents = reign.core().state().agents().take(MAX_PAGE).map(|(id, agent)| summaries::agent(reign, id, agent));
    Ok(Agents { agents: agents.collect() })
}
