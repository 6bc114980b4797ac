//! What an operator sees with the `nats` tool.

use std::path::Path;

use drover_tests::{FakeAgent, Farm, Options, Recipe};

/// The exit code by which the script says that there is no such tool.
const NOT_HERE: i32 = 77;

#[tokio::test]
async fn the_nats_tool_gives_answers_that_a_person_can_read() {
    let options = Options { hook_pools: vec!["retry"], ..Options::default() };
    let Some(mut farm) = Farm::without_stores(options).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let recipe = Recipe::new("hello", &[]);
    let submission = farm.submit_recipes(&[&recipe]).await;
    let offer = agent.offer().await;
    agent.report(&offer, recipe.built()).await;
    let (outcome, _) = recipe.upload(&farm.bucket(), agent.id, offer.attempt, "words").await;
    agent.report(&offer, outcome).await;
    farm.until_available(submission).await;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("nats-cli");
    let output = farm.script(&script, &[&offer.build.to_string()]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    match output.status.code() {
        Some(0) => {}
        Some(NOT_HERE) => eprintln!("{said}"),
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}
