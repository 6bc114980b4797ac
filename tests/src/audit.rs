//! What must be true of a submission that has succeeded, whatever was killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_messages::event::{Event, What};
use drover_messages::query::{
    Agents, AskAgents, AskBuild, AskBuilds, BuildAnswer, BuildDetail, BuildSummary, Builds, MAX_PAGE, StateName,
};
use drover_messages::{BuildId, SubmissionId};
use drover_nats::{Filter, Query, Subject, streams};

use crate::{Farm, PATIENCE};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// All builds of a submission, as the scheduler tells.
pub struct Audit {
    /// In full.
    pub builds: Vec<BuildDetail>,
}

impl Farm {
    /// The builds of a submission in a line each.
    pub async fn summaries(&self, submission: SubmissionId) -> Vec<BuildSummary> {
        let ask = AskBuilds { submission: Some(submission), limit: MAX_PAGE as u32, ..AskBuilds::default() };
        let page: Builds = self.bus.request(&Subject::Query(Query::Builds), &ask, ANSWER_WITHIN).await.unwrap();
        assert!(!page.more);
        page.builds
    }

    /// One build in full.
    ///
    /// # Panics
    /// When the scheduler does not know it.
    pub async fn detail(&self, build: BuildId) -> BuildDetail {
        match self.bus.request(&Subject::Query(Query::Build), &AskBuild { build }, ANSWER_WITHIN).await.unwrap() {
            BuildAnswer::Known(build) => *build,
            BuildAnswer::Unknown => panic!("{build} is not known"),
        }
    }

    /// Looks at all builds of a submission.
    pub async fn audit(&self, submission: SubmissionId) -> Audit {
        let mut builds = Vec::new();
        for summary in self.summaries(submission).await {
            builds.push(self.detail(summary.build).await);
        }
        Audit { builds }
    }

    /// Waits until so many agents would take builds.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn until_ready(&self, agents: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let all: Agents =
                self.bus.request(&Subject::Query(Query::Agents), &AskAgents { after: None }, ANSWER_WITHIN).await.unwrap();
            if all.agents.iter().filter(|agent| agent.alive && agent.not_ready.is_none()).count() >= agents {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{all:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a submission lives, and gives its builds in a line each.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn until_planned(&self, submission: SubmissionId) -> Vec<BuildSummary> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let builds = self.summaries(submission).await;
            if !builds.is_empty() {
                return builds;
            }
            assert!(tokio::time::Instant::now() < deadline, "{submission} is not planned");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until everything of a submission can be fetched.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn until_available(&self, submission: SubmissionId) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let builds = self.summaries(submission).await;
            if !builds.is_empty() && builds.iter().all(|build| build.available) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{builds:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// All events that the stream holds, each once.
    pub async fn events(&self) -> Vec<Event> {
        let mut replay = self.bus.replay(streams::EVENTS, Filter::Events).await.unwrap();
        let (mut events, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some(stored) = replay.next_stored().await.unwrap() {
            let event: Event = stored.decode().unwrap();
            if seen.insert(event.id) {
                events.push(event);
            }
        }
        events
    }

    /// How often each build was told to have succeeded.
    pub async fn told_successes(&self) -> BTreeMap<BuildId, usize> {
        let mut told = BTreeMap::new();
        for event in self.events().await {
            if let What::BuildSucceeded { build, .. } = event.what {
                *told.entry(build).or_default() += 1;
            }
        }
        told
    }
}

impl Audit {
    /// Every one of so many builds has succeeded, can be fetched, and has one success on record, no more.
    ///
    /// # Panics
    /// When that is not so.
    pub fn all_succeeded_once(&self, builds: usize) {
        assert_eq!(self.builds.len(), builds);
        for build in &self.builds {
            assert_eq!((build.summary.state, build.summary.available), (StateName::Succeeded, true), "{build:#?}");
            let successes = build.attempts.iter().filter(|attempt| attempt.cause.is_none() && attempt.state == "published");
            assert_eq!(successes.count(), 1, "{build:#?}");
        }
    }

    /// No attempt came to nothing.
    ///
    /// # Panics
    /// When one did.
    pub fn nothing_was_tried_in_vain(&self) {
        for build in &self.builds {
            assert_eq!(build.attempts.len(), 1, "{build:#?}");
        }
    }
}
