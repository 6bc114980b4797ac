//! Builds that wait for an agent or for a slot.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::Cause;
use drover_messages::agent::Hello;
use drover_messages::query::StateName;
use drover_messages::report::{Built, Outcome, Times};
use drover_messages::why::Why;
use drover_store::StoreDir;
use drover_tests::{FakeAgent, Farm, Options, Recipe};

use super::{SYSTEM, failed, farm, fill, submit, submit_altered, submit_both, tag};

#[tokio::test]
async fn what_no_agent_can_build_says_so_at_once() {
    let Some(mut farm) = farm().await else { return };
    let agent = FakeAgent::join(&mut farm).await;
    let foreign = submit(&farm, &Recipe::requiring("foreign", &[], "riscv64-linux", "")).await;
    let why = farm.until_objection(foreign, agent.id, "it does not build for riscv64-linux").await;
    assert_eq!(why.build.state, StateName::Ready);
    assert_eq!(why.build.reason, "no agent for riscv64-linux and /nix/store was ever seen");

    let special = submit(&farm, &Recipe::requiring("special", &[], SYSTEM, "kvm")).await;
    let why = farm.until_objection(special, agent.id, "it lacks kvm").await;
    assert_eq!(why.build.reason, format!("no agent for {SYSTEM} and /nix/store with kvm was ever seen"));
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
    assert!(why.build.reason.starts_with("the store daemon went away: it is tried again in "), "{}", why.build.reason);
}

#[tokio::test]
async fn a_build_that_is_given_up_says_after_how_many_tries_and_what_needs_it_says_so_as_well() {
    let options = Options { words: vec!["--tries", "2"], ..Options::default() };
    let Some(mut farm) = Farm::without_stores(options).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let below = Recipe::new("unlucky", &[]);
    let (build, above) = submit_both(&farm, &below, &Recipe::new("above", &[&below])).await;
    for _ in 0..2 {
        let offer = agent.offer().await;
        agent.report(&offer, failed(Cause::Killed)).await;
    }
    farm.until_reason(build, "the builder was killed, after 2 tries in a row: `drover retry` has it tried again").await;
    farm.until_reason(above, &format!("({build}) is retried")).await;
    farm.told(&["retry", &above.to_string()]).await;
    assert_eq!(agent.offer().await.build, build);
}

#[tokio::test]
async fn what_was_built_and_cannot_be_uploaded_says_so_and_is_built_again() {
    let Some(mut farm) = farm().await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let recipe = Recipe::new("lost", &[]);
    let build = submit(&farm, &recipe).await;
    for _ in 0..3 {
        let offer = agent.offer().await;
        agent.report(&offer, recipe.built()).await;
        agent.report(&offer, failed(Cause::UploadFailed)).await;
    }
    farm.until_reason(build, "the outputs could not be uploaded: it is tried again in ").await;
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
async fn a_failure_that_another_agent_is_to_confirm_waits_for_that_one() {
    let Some(mut farm) = farm().await else { return };
    let mut busy = FakeAgent::join_as(&mut farm, |hello| hello.tags = tag("name", "busy")).await;
    fill(&farm, &mut busy, |submit| submit.terms.on = tag("name", "busy")).await;
    let mut agent = FakeAgent::join(&mut farm).await;
    let build = submit_altered(&farm, &Recipe::new("doubtful", &[]), |submit| submit.terms.confirm = true).await;
    let offer = agent.offer().await;
    agent.report(&offer, failed(Cause::BuilderFailed)).await;
    farm.until_objection(build, agent.id, "it failed there, and another agent is to try it first").await;
    farm.until_objection(build, busy.id, "all of its 1 slots are taken").await;
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
    // A build that fails so again says nothing more of the agent.
    let mut failed_so = BTreeSet::new();
    while failed_so.len() < 5 {
        let offer = agent.offer().await;
        agent.report(&offer, failed(Cause::DiskFull)).await;
        if failed_so.insert(offer.build) {
            submit(&farm, &Recipe::new(&format!("further-{}", failed_so.len()), &[])).await;
        }
    }
    let words = "it is in quarantine: the newest of its failures: the agent's disk is full; it gets one build to try in ";
    farm.until_objection(build, agent.id, words).await;

    farm.scheduler.kill();
    farm.run_scheduler().await;
    farm.until_objection(build, agent.id, words).await;
    let list = farm.told(&["agent", "list"]).await;
    assert!(list.contains("in quarantine: the newest of its failures"), "{list}");
    farm.told(&["agent", "undrain", &agent.id.to_string()]).await;
    agent.offer().await;
}

#[tokio::test]
async fn an_agent_that_is_away_is_remembered_and_can_be_drained() {
    let options = Options { lease_secs: 3, ..Options::default() };
    let Some(mut farm) = Farm::without_stores(options).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let name = format!("fake-{}", agent.id);
    agent.fall_silent();
    let build = submit(&farm, &Recipe::new("patient", &[])).await;
    let why = farm.until_reason(build, &format!("is here; {name} was, ")).await;
    assert!(why.build.reason.ends_with(" s ago"), "{}", why.build.reason);
    let list = farm.told(&["agent", "list"]).await;
    assert!(list.contains(&name) && list.contains(" ago ") && list.contains("lost"), "{list}");

    farm.scheduler.kill();
    farm.run_scheduler().await;
    farm.told(&["agent", "drain", &name]).await;
    let shown = farm.told(&["agent", "show", &name]).await;
    assert!(shown.contains("lost, drained"), "{shown}");
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
    assert_eq!(why.build.reason, format!("no agent for {SYSTEM} and /nix/store with kvm, the tag site=paris was ever seen"));
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
async fn an_agent_that_saves_up_for_a_build_says_so_to_that_and_to_the_next() {
    let words = vec!["--save-up-secs", "1"];
    let Some(mut farm) = Farm::without_stores(Options { words, ..Options::default() }).await else { return };
    let roomy = |hello: &mut Hello| {
        hello.max_parallel_builds = 4;
        hello.resources = BTreeMap::from([("mem".into(), 16)]);
    };
    let mut agent = FakeAgent::join_as(&mut farm, roomy).await;
    submit(&farm, &Recipe::requiring("small", &[], SYSTEM, "mem:8")).await;
    agent.offer().await;
    let large = submit(&farm, &Recipe::requiring("large", &[], SYSTEM, "mem:16")).await;
    farm.until_objection(large, agent.id, "the build takes 16 of mem, and 8 are free, which it saves up for it").await;
    let next = submit(&farm, &Recipe::requiring("next", &[], SYSTEM, "mem:8")).await;
    let saved = "the build takes 8 of mem; 8 are free, and saved up for one before it that takes 16";
    farm.until_objection(next, agent.id, saved).await;
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
async fn an_agent_that_does_not_let_go_of_what_it_is_told_to_stop_gets_no_more() {
    let words = vec!["--abort-secs", "1"];
    let Some(mut farm) = Farm::without_stores(Options { words, ..Options::default() }).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let unwanted = submit(&farm, &Recipe::new("unwanted", &[])).await;
    agent.offer().await;
    submit(&farm, &Recipe::new("beyond", &[])).await;
    agent.offer().await;
    let next = submit(&farm, &Recipe::new("next", &[])).await;
    farm.until_objection(next, agent.id, "all of its 1 slots are taken").await;
    agent.cling();
    farm.told(&["cancel", &unwanted.to_string()]).await;
    let why = farm.until_objection(next, agent.id, "it has not let go of what it was told to stop").await;
    assert_eq!(why.build.state, StateName::Ready);
    agent.let_go();
    assert_eq!(agent.offer().await.build, next);
}

#[tokio::test]
async fn an_agent_of_another_store_directory_says_where_it_builds() {
    let Some(mut farm) = farm().await else { return };
    let agent = FakeAgent::join_as(&mut farm, |hello| hello.store_dir = StoreDir::guix()).await;
    let build = submit(&farm, &Recipe::new("nixish", &[])).await;
    let why = farm.until_objection(build, agent.id, "it builds in /gnu/store").await;
    assert_eq!(why.build.reason, format!("no agent for {SYSTEM} and /nix/store was ever seen"));
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
    let Some(mut farm) = Farm::without_stores(Options { lease_secs: 180, beat_secs: 60, ..Options::default() }).await else {
        return;
    };
    let agent = FakeAgent::join(&mut farm).await;
    farm.told(&["agent", "drain", &agent.id.to_string()]).await;
    let build = submit(&farm, &Recipe::new("patient", &[])).await;
    farm.until_objection(build, agent.id, "it is drained").await;
    farm.scheduler.kill();
    farm.run_scheduler().await;
    farm.until_reason(build, "a scheduler that has just started hears first what agents hold").await;
    farm.until_objection(build, agent.id, "it is drained").await;
    farm.told(&["agent", "undrain", &agent.id.to_string()]).await;
    farm.until_why(build, |why| why.causes[0].agents.iter().any(|verdict| verdict.why_not.is_empty())).await;
    let said = farm.told(&["why", &build.to_string()]).await;
    assert!(said.contains(&format!("  1 agent (fake-{}): it may get it at once\n", agent.id)), "{said}");
}

#[tokio::test]
async fn a_leased_build_says_why_its_agent_has_it_and_no_other() {
    let Some(mut farm) = farm().await else { return };
    let two_slots = |hello: &mut Hello| hello.max_parallel_builds = 2;
    let agents = [FakeAgent::join_as(&mut farm, two_slots).await, FakeAgent::join_as(&mut farm, two_slots).await];
    let placed = |why: &Why| why.causes.first().and_then(|cause| cause.placement.clone());
    let mut chosen = Vec::new();
    for name in ["first", "second"] {
        let build = submit(&farm, &Recipe::new(name, &[])).await;
        let why = farm.until_why(build, |why| placed(why).is_some()).await;
        chosen.push((build, placed(&why).unwrap().chosen.agent));
    }
    let [(_, busier), (second, idler)] = chosen.try_into().unwrap();
    assert_eq!(agents.iter().filter(|agent| [busier, idler].contains(&agent.id)).count(), 2, "each has one");
    let said = farm.told(&["why", &second.to_string()]).await;
    assert!(
        said.contains(&format!("  fake-{idler} has it, which costs least: nothing\n  fake-{busier}: spread 0.5 s\n")),
        "{said}"
    );
}

/// Builds something long on an agent with this tag, which takes it so long.
async fn train(farm: &Farm, agent: &mut FakeAgent, name: &str, n: u64, secs: u64) {
    let recipe = Recipe::new(&format!("long-{n}"), &[]);
    submit_altered(farm, &recipe, |submit| submit.terms.on = tag("name", name)).await;
    let offer = agent.offer().await;
    let Outcome::Built(built) = recipe.built() else { unreachable!() };
    let times = Times { build_micros: secs * 1_000_000, ..Times::default() };
    agent.report(&offer, Outcome::Built(Built { times, ..built })).await;
}

#[tokio::test]
async fn a_long_build_that_waits_for_a_faster_agent_says_so() {
    let Some(mut farm) = farm().await else { return };
    let mut slow = FakeAgent::join_as(&mut farm, |hello| hello.tags = tag("name", "slow")).await;
    let named_fast = |hello: &mut Hello| (hello.tags, hello.max_parallel_builds) = (tag("name", "fast"), 4);
    let mut fast = FakeAgent::join_as(&mut farm, named_fast).await;
    for n in 0..12 {
        train(&farm, &mut slow, "slow", 2 * n, 600).await;
        train(&farm, &mut fast, "fast", 2 * n + 1, 60).await;
    }
    for n in 100..104 {
        let recipe = Recipe::new(&format!("long-{n}"), &[]);
        submit_altered(&farm, &recipe, |submit| submit.terms.on = tag("name", "fast")).await;
        fast.offer().await;
    }
    let build = submit(&farm, &Recipe::new("long-200", &[])).await;
    farm.until_objection(build, slow.id, "s, for much hangs on it").await;
    farm.until_objection(build, fast.id, "all of its 4 slots are taken").await;
}
