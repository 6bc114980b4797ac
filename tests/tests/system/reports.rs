//! What the scheduler makes of reports that come twice, late, spoilt or in lies. The agents are the test's.

use drover_bucket::Key;
use drover_messages::event::What;
use drover_messages::query::StateName;
use drover_messages::report::{Failed, Outcome, Times};
use drover_messages::{Cause, SubmissionId};
use drover_nats::{Filter, Subject, streams};
use drover_store::StorePath;
use drover_tests::{FakeAgent, Farm, Options, Recipe, until};

/// A farm, an agent, and a recipe that was submitted.
async fn asked_for(name: &str) -> Option<(Farm, FakeAgent, Recipe, SubmissionId)> {
    asked_for_on(name, Options::default()).await
}

/// The same on a farm that gives an agent up soon.
async fn asked_for_in_haste(name: &str) -> Option<(Farm, FakeAgent, Recipe, SubmissionId)> {
    asked_for_on(name, Options { lease_secs: 3, ..Options::default() }).await
}

async fn asked_for_on(name: &str, options: Options) -> Option<(Farm, FakeAgent, Recipe, SubmissionId)> {
    let mut farm = Farm::without_stores(options).await?;
    let agent = FakeAgent::join(&mut farm).await;
    let recipe = Recipe::new(name, &[]);
    let submission = farm.submit_recipes(&[&recipe]).await;
    Some((farm, agent, recipe, submission))
}

fn builder_failed() -> Outcome {
    let message = "exit code 1".into();
    Outcome::Failed(Failed { cause: Cause::BuilderFailed, message, times: Times::default(), log: None, kept: Vec::new() })
}

/// Builds what the agent is offered next, uploads it, waits until it is published, and gives the upload's key.
async fn publish(farm: &Farm, agent: &mut FakeAgent, recipe: &Recipe, submission: SubmissionId) -> Key {
    let offer = agent.offer().await;
    agent.report(&offer, recipe.built()).await;
    let (outcome, key) = recipe.upload(&farm.bucket(), agent.id, offer.attempt, "words").await;
    agent.report(&offer, outcome).await;
    farm.until_available(submission).await;
    key
}

fn is_about(what: &What, item: &StorePath) -> bool {
    match what {
        What::ItemAvailable { path, .. } | What::PublicationRefused { path, .. } => path == item,
        What::ItemsAvailable { paths, .. } => paths.contains(item),
        _ => false,
    }
}

#[tokio::test]
async fn a_report_that_is_delivered_twice_counts_once() {
    let Some((farm, mut agent, recipe, submission)) = asked_for("twice").await else { return };
    let offer = agent.offer().await;
    let built = agent.report(&offer, recipe.built()).await;
    agent.send(&built).await;
    let (outcome, _) = recipe.upload(&farm.bucket(), agent.id, offer.attempt, "words").await;
    let uploaded = agent.report(&offer, outcome).await;
    agent.send(&uploaded).await;
    farm.until_available(submission).await;
    for report in [&built, &uploaded] {
        agent.send(report).await;
    }
    // Reports are taken in order: once this one has been read, so have those.
    let next = Recipe::new("after", &[]);
    let after = farm.submit_recipes(&[&next]).await;
    publish(&farm, &mut agent, &next, after).await;

    let audit = farm.audit(submission).await;
    audit.all_succeeded_once(1);
    audit.nothing_was_tried_in_vain();
    let told = farm.told_successes().await;
    assert_eq!(told[&audit.builds[0].summary.build], 1);
    let available = farm.events().await.into_iter().filter(|event| is_about(&event.what, &recipe.out)).count();
    assert_eq!(available, 1);
}

#[tokio::test]
async fn a_failure_from_a_superseded_lease_is_ignored() {
    let Some((mut farm, mut first, recipe, submission)) = asked_for_in_haste("superseded").await else { return };
    let old = first.offer().await;
    first.fall_silent();
    let mut second = FakeAgent::join(&mut farm).await;
    let new = second.offer().await;
    assert!(new.build == old.build && new.epoch > old.epoch);
    first.report(&old, builder_failed()).await;
    second.report(&new, recipe.built()).await;
    let (outcome, _) = recipe.upload(&farm.bucket(), second.id, new.attempt, "words").await;
    second.report(&new, outcome).await;
    farm.until_available(submission).await;

    let audit = farm.audit(submission).await;
    audit.all_succeeded_once(1);
    let [lost, won] = &audit.builds[0].attempts[..] else { panic!("{:#?}", audit.builds) };
    assert_eq!((lost.attempt, lost.cause.clone()), (old.attempt, Some(Cause::AgentLost)));
    assert_eq!(won.attempt, new.attempt);
    assert!(!farm.events().await.iter().any(|event| matches!(event.what, What::BuildFailed { .. })));
}

#[tokio::test]
async fn a_late_success_of_an_earlier_attempt_wins() {
    let Some((mut farm, mut first, recipe, submission)) = asked_for_in_haste("late").await else { return };
    let old = first.offer().await;
    first.fall_silent();
    let mut second = FakeAgent::join(&mut farm).await;
    let new = second.offer().await;
    first.report(&old, recipe.built()).await;
    let (outcome, _) = recipe.upload(&farm.bucket(), first.id, old.attempt, "words").await;
    first.report(&old, outcome).await;
    farm.until_available(submission).await;
    second.report(&new, recipe.built()).await;

    let audit = farm.audit(submission).await;
    audit.all_succeeded_once(1);
    let [won, beaten] = &audit.builds[0].attempts[..] else { panic!("{:#?}", audit.builds) };
    assert_eq!((won.attempt, won.state.as_str()), (old.attempt, "published"));
    assert_eq!((beaten.attempt, beaten.state.as_str()), (new.attempt, "superseded"));
}

#[tokio::test]
async fn uploads_go_when_they_are_published_and_those_under_way_stay() {
    let Some((farm, mut agent, first, submission)) = asked_for("first").await else { return };
    let [second, third] = ["second", "third"].map(|name| Recipe::new(name, &[]));
    let first = publish(&farm, &mut agent, &first, submission).await;
    let submission = farm.submit_recipes(&[&second]).await;
    let published = [first, publish(&farm, &mut agent, &second, submission).await];
    farm.submit_recipes(&[&third]).await;
    let offer = agent.offer().await;
    let (_, under_way) = third.upload(&farm.bucket(), agent.id, offer.attempt, "words").await;

    let is_there = |key: &Key| farm.folder.bucket().join(key.to_string()).exists();
    until("what is published is thrown away", || !published.iter().any(is_there)).await;
    assert!(is_there(&under_way));
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_with_the_reason_and_stops_nothing() {
    let Some((farm, mut agent, recipe, submission)) = asked_for("rubbish").await else { return };
    let offer = agent.offer().await;
    agent.send_rubbish(&offer, b"no message of Drover's").await;
    agent.report(&offer, recipe.built()).await;
    let (outcome, _) = recipe.upload(&farm.bucket(), agent.id, offer.attempt, "words").await;
    agent.report(&offer, outcome).await;
    farm.until_available(submission).await;
    farm.audit(submission).await.all_succeeded_once(1);

    let mut dead = farm.bus.replay(streams::DEAD, Filter::Dead).await.unwrap();
    let set_aside = dead.next_stored().await.unwrap().expect("a message was set aside");
    assert!(matches!(&set_aside.subject, Subject::Dead { stream, .. } if stream == streams::RES), "{}", set_aside.subject);
    assert_eq!(&set_aside.payload[..], b"no message of Drover's");
    assert!(set_aside.header("Reason").is_some_and(|why| why.contains("not a readable message")));
    assert_eq!(set_aside.header("Came-On"), Some(format!("res.{}.{}", agent.id, offer.build).as_str()));
    assert!(dead.next_stored().await.unwrap().is_none());
}

#[tokio::test]
async fn a_nar_that_was_changed_in_the_bucket_is_refused_and_the_build_tried_again() {
    let Some((farm, mut agent, recipe, submission)) = asked_for("changed").await else { return };
    let offer = agent.offer().await;
    agent.report(&offer, recipe.built()).await;
    let (outcome, key) = recipe.upload(&farm.bucket(), agent.id, offer.attempt, "words").await;
    // A whole nar of the same size, packed too, for its letters are the same in another order: only the hash can tell.
    let other = Recipe::new("other", &[]);
    let (_, forged) = other.upload(&farm.bucket(), agent.id, offer.attempt, "sword").await;
    let [forged, uploaded] = [forged, key].map(|key| farm.folder.bucket().join(key.to_string()));
    let forged = std::fs::read(forged).unwrap();
    assert_eq!(forged.len() as u64, std::fs::metadata(&uploaded).unwrap().len());
    std::fs::write(uploaded, &forged).unwrap();
    agent.report(&offer, outcome).await;

    let again = agent.offer().await;
    assert_eq!(again.build, offer.build);
    assert!(!farm.bucket().exists(&recipe.narinfo()).await.unwrap());
    for nar in std::fs::read_dir(farm.folder.bucket().join("cache/nix-store/nar")).into_iter().flatten() {
        assert!(!std::fs::read(nar.unwrap().path()).is_ok_and(|nar| nar == forged), "it entered the cache");
    }
    let refused = |what: &What| matches!(what, What::PublicationRefused { path, .. } if *path == recipe.out);
    assert_eq!(farm.events().await.iter().filter(|event| refused(&event.what)).count(), 1);

    agent.report(&again, recipe.built()).await;
    let (outcome, _) = recipe.upload(&farm.bucket(), agent.id, again.attempt, "words").await;
    agent.report(&again, outcome).await;
    farm.until_available(submission).await;
    let audit = farm.audit(submission).await;
    audit.all_succeeded_once(1);
    assert_eq!(audit.builds[0].attempts[0].cause, Some(Cause::PublicationRefused));
    assert_eq!(audit.builds[0].summary.state, StateName::Succeeded);
    assert!(farm.bucket().exists(&recipe.narinfo()).await.unwrap());
}
