//! Each way to wait, as `drover why` tells it. The agents are the test's: nothing is built.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::agent::Hello;
use drover_messages::query::StateName;
use drover_messages::report::{Failed, Outcome, Times};
use drover_messages::request::{Root, Submit};
use drover_messages::substitutes::Elsewhere;
use drover_messages::{BuildId, Cause};
use drover_nats::permissions::Who;
use drover_nats::{Bus, Filter, Pool};
use drover_store::DrvPath;
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

#[tokio::test]
async fn what_no_agent_can_build_says_so_at_once() {
    let Some(mut farm) = farm().await else { return };
    let agent = FakeAgent::join(&mut farm).await;
    let foreign = submit(&farm, &Recipe::requiring("foreign", &[], "riscv64-linux", "")).await;
    let why = farm.until_objection(foreign, agent.id, "it does not build for riscv64-linux").await;
    assert_eq!(why.build.state, StateName::Ready);
    assert_eq!(why.build.reason, "no agent for riscv64-linux and /nix/store is here");

    let special = submit(&farm, &Recipe::requiring("special", &[], SYSTEM, "kvm")).await;
    let why = farm.until_objection(special, agent.id, "it lacks kvm").await;
    assert_eq!(why.build.reason, format!("no agent for {SYSTEM} and /nix/store with kvm is here"));
}

#[tokio::test]
async fn a_build_that_waits_for_a_slot_says_which_agents_are_full() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    fill(&farm, &mut agent, |_| {}).await;
    let late = submit(&farm, &Recipe::new("late", &[])).await;
    let why = farm.until_objection(late, agent.id, "all of its 1 slots are taken").await;
    assert_eq!((why.build.reason.as_str(), why.chain.len()), ("a slot", 1));

    let said = farm.told(&["why", &late.to_string()]).await;
    assert!(said.starts_with(&format!("late ({late}) ready: a slot\n")), "{said}");
    assert!(said.contains(&format!("  1 agent (fake-{}): all of its 1 slots are taken\n", agent.id)), "{said}");
}

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
async fn a_deferred_build_says_what_went_wrong_on_the_farm() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let build = submit(&farm, &Recipe::new("unlucky", &[])).await;
    // The third delay is long enough to be looked at.
    for _ in 0..3 {
        let offer = agent.offer().await;
        agent.report(&offer, failed(Cause::DaemonGone)).await;
    }
    let why = farm.until_why(build, |why| why.build.state == StateName::Deferred).await;
    assert_eq!(why.build.reason, "the store daemon went away: it is tried again soon");
}

#[tokio::test]
async fn an_agent_that_failed_a_build_by_the_farms_fault_waits_for_another_to_try_it() {
    let Some(mut farm) = farm().await else { return };
    let mut busy = FakeAgent::join_as(&mut farm, |hello| hello.tags = tag("name", "busy")).await;
    fill(&farm, &mut busy, |submit| submit.terms.on = tag("name", "busy")).await;
    let mut agent = FakeAgent::join(&mut farm).await;
    let build = submit(&farm, &Recipe::new("unlucky", &[])).await;
    let offer = agent.offer().await;
    agent.report(&offer, failed(Cause::DiskFull)).await;
    let why = farm.until_objection(build, agent.id, "it failed there, and another agent is to try it first").await;
    assert!(why.causes[0].agents.iter().any(|verdict| verdict.why_not == "all of its 1 slots are taken"), "{why:#?}");
}

#[tokio::test]
async fn an_agent_that_is_drained_or_not_ready_or_away_says_so() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let drained = farm.told(&["agent", "drain", "fake-*"]).await;
    assert_eq!(drained.trim(), agent.id.to_string());
    let build = submit(&farm, &Recipe::new("patient", &[])).await;
    farm.until_objection(build, agent.id, "it is drained").await;
    let shown = farm.told(&["agent", "show", &agent.id.to_string()]).await;
    assert!(shown.contains("state       drained\n"), "{shown}");

    agent.is_not_ready("the cache cannot be reached");
    farm.until_objection(build, agent.id, "it is not ready: the cache cannot be reached").await;
    let mut gone = FakeAgent::join(&mut farm).await;
    assert_eq!(gone.offer().await.build, build);
    gone.fall_silent();
    let next = submit(&farm, &Recipe::new("next", &[])).await;
    farm.until_objection(next, gone.id, "it was not heard lately").await;
    farm.until_reason(build, "a slot").await;
}

#[tokio::test]
async fn an_agent_that_fails_again_and_again_is_in_quarantine_and_says_why() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let build = submit(&farm, &Recipe::new("first", &[])).await;
    for n in 0..5 {
        let offer = agent.offer().await;
        agent.report(&offer, failed(Cause::DiskFull)).await;
        submit(&farm, &Recipe::new(&format!("further-{n}"), &[])).await;
    }
    let words = "it is in quarantine: the newest of its failures: the agent's disk is full";
    farm.until_objection(build, agent.id, words).await;
    let list = farm.told(&["agent", "list"]).await;
    assert!(list.contains("in quarantine: the newest of its failures"), "{list}");
}

#[tokio::test]
async fn what_a_user_asks_of_agents_and_what_agents_are_kept_for_is_told() {
    let Some(mut farm) = farm().await else { return };
    let kept = |hello: &mut Hello| {
        hello.tags = tag("site", "berlin");
        hello.features = vec!["kvm".into()];
        hello.mandatory_features = BTreeSet::from(["kvm".into()]);
    };
    let agent = FakeAgent::join_as(&mut farm, kept).await;
    let special = || Recipe::requiring("special", &[], SYSTEM, "kvm");
    let elsewhere = submit_altered(&farm, &special(), |submit| submit.terms.on = tag("site", "paris")).await;
    let why = farm.until_objection(elsewhere, agent.id, "it has not the tag site=paris").await;
    assert_eq!(why.build.reason, format!("no agent for {SYSTEM} and /nix/store with kvm, the tag site=paris is here"));
    let not_there = submit_altered(&farm, &special(), |submit| submit.terms.not_on = tag("site", "berlin")).await;
    farm.until_objection(not_there, agent.id, "it has the tag site=berlin").await;
    let ordinary = submit(&farm, &Recipe::new("ordinary", &[])).await;
    farm.until_objection(ordinary, agent.id, "it takes only builds that require kvm").await;
}

#[tokio::test]
async fn a_build_that_takes_more_than_there_is_or_than_is_left_says_how_much() {
    let Some(mut farm) = farm().await else { return };
    let roomy = |hello: &mut Hello| {
        hello.max_parallel_builds = 4;
        hello.resources = BTreeMap::from([("mem".into(), 16)]);
    };
    let mut agent = FakeAgent::join_as(&mut farm, roomy).await;
    let huge = submit(&farm, &Recipe::requiring("huge", &[], SYSTEM, "mem:32")).await;
    farm.until_objection(huge, agent.id, "the build takes 32 of mem, and it has 16 in all").await;
    submit(&farm, &Recipe::requiring("large", &[], SYSTEM, "mem:12")).await;
    agent.offer().await;
    let second = submit(&farm, &Recipe::requiring("second", &[], SYSTEM, "mem:12")).await;
    farm.until_objection(second, agent.id, "the build takes 12 of mem, and 4 are free").await;
}

#[tokio::test]
async fn a_build_that_is_to_go_elsewhere_than_the_one_before_says_where_that_was() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let recipe = Recipe::new("doubtful", &[]);
    let first = submit(&farm, &recipe).await;
    let offer = agent.offer().await;
    agent.report(&offer, failed(Cause::BuilderFailed)).await;
    farm.until_why(first, |why| why.build.state == StateName::Failed).await;
    let apart = submit_altered(&farm, &recipe, |submit| submit.terms.apart = true).await;
    farm.until_objection(apart, agent.id, "it has built the same derivation before").await;
}

#[tokio::test]
async fn a_build_whose_inputs_are_only_in_one_store_yet_says_who_lacks_them() {
    let Some(mut farm) = farm().await else { return };
    let mut holder = FakeAgent::join(&mut farm).await;
    let below = Recipe::new("below", &[]);
    let (_, build) = submit_both(&farm, &below, &Recipe::new("above", &[&below])).await;
    let offer = holder.offer().await;
    farm.told(&["agent", "drain", &holder.id.to_string()]).await;
    holder.report(&offer, below.built()).await;
    let other = FakeAgent::join(&mut farm).await;
    let why = farm.until_objection(build, other.id, "its store has not all inputs yet, and the cache neither").await;
    assert!(why.build.reason.contains("an agent whose store has its inputs"), "{}", why.build.reason);
}

#[tokio::test]
async fn a_client_that_has_all_the_slots_it_may_have_is_told_so() {
    let words = vec!["--slots-per-client", "1"];
    let Some(mut farm) = Farm::without_stores(Options { words, ..Options::default() }).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    submit(&farm, &Recipe::new("first", &[])).await;
    agent.offer().await;
    let second = submit(&farm, &Recipe::new("second", &[])).await;
    farm.until_reason(second, "its client has as many builds under way as it may").await;
}

#[tokio::test]
async fn a_scheduler_that_has_just_started_says_that_it_hears_agents_first() {
    let Some(mut farm) = Farm::without_stores(Options { beat_secs: 60, ..Options::default() }).await else { return };
    let agent = FakeAgent::join(&mut farm).await;
    farm.told(&["agent", "drain", &agent.id.to_string()]).await;
    let build = submit(&farm, &Recipe::new("patient", &[])).await;
    farm.until_objection(build, agent.id, "it is drained").await;
    farm.scheduler.kill();
    farm.run_scheduler().await;
    farm.until_reason(build, "a scheduler that has just started hears first what agents hold").await;
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

#[tokio::test]
async fn an_input_that_is_known_to_fail_is_not_tried_again_unless_that_is_asked_for() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let below = Recipe::new("below", &[]);
    let first = submit(&farm, &below).await;
    let offer = agent.offer().await;
    agent.report(&offer, failed(Cause::BuilderFailed)).await;
    farm.until_why(first, |why| why.build.state == StateName::Failed).await;
    let (input, build) = submit_both(&farm, &below, &Recipe::new("above", &[&below])).await;
    let why = farm.until_why(build, |why| why.build.state == StateName::Blocked).await;
    let cause = &why.causes[0].build;
    assert_eq!((cause.build, cause.reason.as_str()), (input, "another build of it failed not long ago"));

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
    assert!(said.contains("it is built, and waits to be published"), "{said}");
}
