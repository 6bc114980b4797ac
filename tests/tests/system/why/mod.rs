//! Each way to wait, as `drover why` tells it. The agents are the test's: nothing is built.

mod agents;
mod inputs;

use std::collections::BTreeMap;

use drover_messages::report::{Failed, Outcome, Times};
use drover_messages::request::Submit;
use drover_messages::{BuildId, Cause};
use drover_tests::{FakeAgent, Farm, Options, Recipe};

const SYSTEM: &str = "x86_64-linux";

async fn farm() -> Option<Farm> {
    Farm::without_stores(Options::default()).await
}

/// Submits a recipe that needs nothing, and gives its build.
async fn submit(farm: &Farm, recipe: &Recipe) -> BuildId {
    submit_altered(farm, recipe, |_| {}).await
}

async fn submit_altered(farm: &Farm, recipe: &Recipe, alter: impl FnOnce(&mut Submit)) -> BuildId {
    let submission = farm.submit_altered(&[recipe], alter).await;
    BuildId::derived(submission, &recipe.drv)
}

/// Submits what needs something else, and gives the builds of both.
async fn submit_both(farm: &Farm, below: &Recipe, above: &Recipe) -> (BuildId, BuildId) {
    let submission = farm.submit_recipes(&[below, above]).await;
    (BuildId::derived(submission, &below.drv), BuildId::derived(submission, &above.drv))
}

/// Gives an agent all that it takes: one build in its slot, and one beyond it.
async fn fill(farm: &Farm, agent: &mut FakeAgent, alter: impl Fn(&mut Submit)) {
    for _ in 0..2 {
        submit_altered(farm, &Recipe::new("filler", &[]), &alter).await;
        agent.offer().await;
    }
}

fn failed(cause: Cause) -> Outcome {
    Outcome::Failed(Failed { cause, message: "so it says".into(), times: Times::default(), log: None, kept: Vec::new() })
}

fn tag(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.into(), value.into())])
}
