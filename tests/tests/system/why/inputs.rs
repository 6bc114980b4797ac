//! Builds that wait for inputs, and what they make for its publication.

use std::collections::{BTreeMap, BTreeSet};

use drover_bucket::Key;
use drover_messages::agent::Hello;
use drover_messages::offer::Offer;
use drover_messages::query::StateName;
use drover_messages::report::{Failed, Outcome, SealedLog};
use drover_messages::request::Root;
use drover_messages::substitutes::Elsewhere;
use drover_messages::{BuildId, Cause};
use drover_nats::permissions::Who;
use drover_nats::{Bus, Filter, Pool};
use drover_store::DrvPath;
use drover_tests::lab::Kind;
use drover_tests::{FakeAgent, Farm, Options, Recipe};

use super::{SYSTEM, failed, farm, submit, submit_both};

#[tokio::test]
async fn a_build_that_waits_for_an_input_names_the_chain_down_to_who_builds_it() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let below = Recipe::new("below", &[]);
    let above = Recipe::new("above", &[&below]);
    let (input, build) = submit_both(&farm, &below, &above).await;
    agent.offer().await;
    let why = farm.until_why(build, |why| why.causes.iter().any(|cause| cause.build.state == StateName::Leased)).await;
    assert_eq!(why.build.state, StateName::Waiting);
    assert!(why.build.reason.contains(&format!("the input {}", below.out)), "{}", why.build.reason);
    assert_eq!(why.chain.iter().map(|build| build.build).collect::<Vec<_>>(), [build, input]);
    assert_eq!(why.causes[0].build.reason, format!("on the agent {}", agent.id));
}

#[tokio::test]
async fn a_blocked_build_names_the_failed_one_and_why_that_failed() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let below = Recipe::new("below", &[]);
    let above = Recipe::new("above", &[&below]);
    let (input, build) = submit_both(&farm, &below, &above).await;
    let offer = agent.offer().await;
    agent.report(&offer, failed(Cause::BuilderFailed)).await;
    let why = farm.until_reason(build, &format!("cannot be had while {} ({input}) is failed", below.drv)).await;
    assert_eq!((why.build.state, why.build.blocked_by), (StateName::Blocked, Some(input)));
    assert_eq!((why.causes[0].build.build, why.causes[0].build.reason.as_str()), (input, "the builder failed"));
    assert_eq!(farm.until_reason(input, "").await.build.state, StateName::Failed);
}

#[tokio::test]
async fn an_input_that_no_build_makes_is_named() {
    let Some(farm) = farm().await else { return };
    let below = Recipe::new("below", &[]);
    let above = Recipe::new("above", &[&below]);
    let submission = farm.submit_altered(&[&below, &above], |submit| submit.input_builds = false).await;
    let why = farm.until_why(BuildId::derived(submission, &above.drv), |why| !why.dead_ends.is_empty()).await;
    assert_eq!((&why.dead_ends[0].0, why.build.state), (&below.out, StateName::Waiting));
    let said = farm.told(&["why", &why.build.build.to_string()]).await;
    assert!(said.contains(&format!("cannot be had\n  /nix/store/{}", below.out)), "{said}");
}

async fn sealed(farm: &Farm, offer: &Offer, text: &str) -> SealedLog {
    let key = Key::Log { build: offer.build, attempt: offer.attempt };
    farm.bucket().put_once(&key, zstd::encode_all(text.as_bytes(), 3).unwrap().into()).await.unwrap();
    SealedLog { key: key.to_string(), bytes: text.len() as u64 }
}

#[tokio::test]
async fn an_input_that_is_known_to_fail_is_not_tried_again_unless_that_is_asked_for() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let below = Recipe::new("below", &[]);
    let first = submit(&farm, &below).await;
    let offer = agent.offer().await;
    let log = sealed(&farm, &offer, "before it broke\n").await;
    let Outcome::Failed(failure) = failed(Cause::BuilderFailed) else { unreachable!() };
    agent.report(&offer, Outcome::Failed(Failed { log: Some(log), ..failure })).await;
    farm.until_why(first, |why| why.build.state == StateName::Failed).await;
    let (input, build) = submit_both(&farm, &below, &Recipe::new("above", &[&below])).await;
    let why = farm.until_why(build, |why| why.build.state == StateName::Blocked).await;
    let cause = &why.causes[0].build;
    assert_eq!((cause.build, cause.reason.clone()), (input, format!("another build of it failed not long ago: {first}")));
    let log = farm.drover(&["logs", &input.to_string()]).await;
    assert_eq!(String::from_utf8_lossy(&log.stdout), "before it broke\n");
    assert!(String::from_utf8_lossy(&log.stderr).ends_with(&format!("this is the log of {first}\n")), "{log:?}");
    let shown = farm.told(&["show", &input.to_string()]).await;
    assert!(shown.contains(&format!("Its log: drover logs {input}\n")), "{shown}");

    let hopeful = Recipe::new("hopeful", &[&below]);
    let submission = farm.submit_altered(&[&below, &hopeful], |submit| submit.terms.known_failures = true).await;
    let again = agent.offer().await;
    assert_eq!((again.build, &again.drv), (BuildId::derived(submission, &below.drv), &below.drv));
}

#[tokio::test]
async fn an_input_that_is_lost_again_and_again_is_named_and_made_again_when_that_is_asked_for() {
    const LOSSES: usize = 5;
    let Some(mut farm) = farm().await else { return };
    let mut maker = FakeAgent::join(&mut farm).await;
    let kept_for_users = |hello: &mut Hello| {
        hello.max_parallel_builds = LOSSES as u32;
        hello.features = vec!["user".into()];
        hello.mandatory_features = BTreeSet::from(["user".into()]);
    };
    let mut user = FakeAgent::join_as(&mut farm, kept_for_users).await;
    let below = Recipe::new("below", &[]);
    let above = |n| Recipe::requiring(&format!("above-{n}"), &[&below], SYSTEM, "user");
    let above: Vec<Recipe> = (0..LOSSES).map(above).collect();
    let recipes: Vec<&Recipe> = [&below].into_iter().chain(&above).collect();
    farm.submit_altered(&recipes, |submit| {
        let root = |drv: &DrvPath| Root { build: BuildId::derived(submit.submission, drv), drv: drv.clone() };
        submit.roots = above.iter().map(|above| root(&above.drv)).collect();
    })
    .await;

    let mut users = Vec::new();
    for n in 0..LOSSES {
        let offer = maker.offer().await;
        maker.report(&offer, below.built()).await;
        let (outcome, _) = below.upload(&farm.bucket(), maker.id, offer.attempt, "words").await;
        maker.report(&offer, outcome).await;
        while users.len() < LOSSES {
            users.push(user.offer().await);
        }
        farm.until_why(offer.build, |why| why.build.available).await;
        std::fs::remove_file(farm.folder.bucket().join(below.narinfo().to_string())).unwrap();
        let missing = Cause::InputsUnavailable { missing: vec![below.out.clone()] };
        user.report(&users[n], failed(missing)).await;
    }
    let build = users[LOSSES - 1].build;
    let why = farm.until_why(build, |why| !why.dead_ends.is_empty()).await;
    assert_eq!(why.dead_ends[0].0, below.out);
    assert!(why.dead_ends[0].1.starts_with("lost 5 times"), "{:?}", why.dead_ends);
    assert_eq!(farm.told(&["retry", &build.to_string()]).await, "1 build is tried again.\n");
    assert_eq!(maker.offer().await.drv, below.drv);
}

#[tokio::test]
async fn an_input_that_only_other_servers_have_waits_for_an_agent_that_reaches_them() {
    let words = vec!["--ask-substitutes"];
    let Some(mut farm) = Farm::without_stores(Options { words, ..Options::default() }).await else { return };
    let _agent = FakeAgent::join(&mut farm).await;
    let below = Recipe::new("below", &[]);
    let above = Recipe::new("above", &[&below]);
    let found = BTreeMap::from([(below.out.clone(), BTreeSet::from(["https://other.example".to_owned()]))]);
    let pool = Bus::connect(&farm.nats.login(Who::Hook(Pool::substitutes())).await).await.unwrap();
    let mut questions = pool.subscribe(&Filter::QuestionsTo(Pool::substitutes())).await.unwrap();
    let answering = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            question.respond(&Elsewhere { found: found.clone() }).await.unwrap();
        }
    });
    let submission = farm.submit_recipes(&[&below, &above]).await;
    let build = BuildId::derived(submission, &above.drv);
    let why = farm.until_reason(build, "no agent of one store reaches all that it needs").await;
    assert!(why.build.reason.contains("available at https://other.example only"), "{}", why.build.reason);

    let servers = BTreeSet::from(["https://other.example".to_owned()]);
    let mut reaching = FakeAgent::join_as(&mut farm, |hello| hello.servers = servers).await;
    assert_eq!(reaching.offer().await.build, build);
    answering.abort();
}

#[tokio::test]
async fn a_build_of_several_inputs_counts_them_and_names_one() {
    let Some(farm) = farm().await else { return };
    let below = [Recipe::new("left", &[]), Recipe::new("right", &[])];
    let above = Recipe::new("above", &[&below[0], &below[1]]);
    let submission = farm.submit_recipes(&[&below[0], &below[1], &above]).await;
    let why = farm.until_reason(BuildId::derived(submission, &above.drv), "2 inputs, such as ").await;
    assert!(why.build.reason.ends_with(" (wanted)"), "{}", why.build.reason);
    assert_eq!(why.causes.len(), 2);
}

#[tokio::test]
async fn a_source_that_is_not_verified_yet_is_named() {
    let Some(mut farm) = Farm::without_agents(&[Kind::Nix], Options::default()).await else { return };
    farm.publish.kill();
    let submission = farm.hand_in(&[&farm.instantiate("travel", &[])]).await;
    let builds = farm.until_planned(submission).await;
    let half = builds.iter().find(|build| build.drv.name_without_drv() == "left").unwrap();
    let why = farm.until_reason(half.build, "words.txt (uploaded, not published yet)").await;
    assert!(why.dead_ends.iter().any(|(path, words)| path.name() == "words.txt" && words == "uploaded, not published yet"));
    farm.publish.run();
    farm.until_why(half.build, |why| why.build.state == StateName::Ready).await;
}

#[tokio::test]
async fn what_nobody_wants_or_knows_says_so() {
    let Some(farm) = farm().await else { return };
    let build = submit(&farm, &Recipe::new("unwanted", &[])).await;
    farm.until_why(build, |why| why.build.state == StateName::Ready).await;
    farm.told(&["cancel", &build.to_string()]).await;
    farm.until_reason(build, "nobody wants it").await;
    let nobodys = BuildId::new();
    let unknown = farm.drover(&["why", &nobodys.to_string()]).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains(&format!("knows no build {nobodys}")), "{unknown:?}");
}

#[tokio::test]
async fn what_is_built_says_when_it_is_not_published() {
    let Some(mut farm) = farm().await else { return };
    farm.publish.kill();
    let mut agent = FakeAgent::join(&mut farm).await;
    let recipe = Recipe::new("early", &[]);
    let build = submit(&farm, &recipe).await;
    let offer = agent.offer().await;
    agent.report(&offer, recipe.built()).await;
    farm.until_why(build, |why| why.build.state == StateName::Succeeded && !why.build.available).await;
    let said = farm.told(&["why", &build.to_string()]).await;
    let words = format!("it is built, and waits to be published: its output {} is built, not uploaded yet", recipe.out);
    assert!(said.contains(&words), "{said}");
}
