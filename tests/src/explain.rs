//! What `drover why` says, read as a program reads it.

use drover_messages::why::Why;
use drover_messages::{AgentId, BuildId};

use crate::{Farm, PATIENCE};

const ASK_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

impl Farm {
    /// What `drover why` says of a build, when it says what the test waits for.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn until_why(&self, build: BuildId, fits: impl Fn(&Why) -> bool) -> Why {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let output = self.drover(&["why", &build.to_string(), "--json"]).await;
            // Until the submission is taken up, its builds are not known.
            let why = output.status.success().then(|| serde_json::from_slice::<Why>(&output.stdout).unwrap());
            if let Some(why) = why.as_ref().filter(|why| fits(why)) {
                return why.clone();
            }
            assert!(tokio::time::Instant::now() < deadline, "{why:#?}");
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// What `drover why` says when its reason for a build holds these words.
    pub async fn until_reason(&self, build: BuildId, words: &str) -> Why {
        self.until_why(build, |why| why.build.reason.contains(words)).await
    }

    /// What `drover why` says when it says this of an agent, for a build that waits for a slot.
    pub async fn until_objection(&self, build: BuildId, agent: AgentId, words: &str) -> Why {
        let says = |why: &Why| {
            let verdicts = why.causes.iter().filter(|cause| cause.build.build == build).flat_map(|cause| &cause.agents);
            verdicts.clone().any(|verdict| verdict.agents.contains(&agent) && verdict.why_not.contains(words))
        };
        self.until_why(build, says).await
    }
}
