//! Where builds may go, and what speaks against it.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::agent::Phase;
use drover_messages::event::What;
use drover_messages::offer::Offer;
use drover_messages::request::Terms;
use drover_messages::wish::Wished;
use drover_messages::{AgentId, AttemptId, Cause, Epoch, Generation, StoreId};
use drover_scheduler_core::plan::{Evidence, Planned};
use drover_scheduler_core::{BuildState, Input, Limits};
use drover_store::StoreDir;
use farm::{Farm, build, held, planned};

fn farm() -> Farm {
    Farm::with(Limits { offers_beyond_slots: 0, lease_millis: u64::MAX / 4, ..Limits::default() })
}

fn requiring(n: u128, name: &str, features: &[&str]) -> Planned {
    let mut planned = planned(n, name, &[], true);
    planned.recipe.features = features.iter().map(|feature| feature.to_string()).collect();
    planned
}

fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn what_speaks_against_an_agent_is_said_with_numbers() {
    let mut farm = farm();
    farm.submit(1, vec![requiring(1, "big", &["kvm", "mem:64"])]);
    let big = build(1, "big");
    let guix = farm.agent_with(1, 1, |hello| hello.store_dir = StoreDir::guix());
    let arm = farm.agent_with(2, 1, |hello| hello.systems = vec!["aarch64-linux".into()]);
    let plain = farm.agent(3, 1);
    let small = farm.agent_with(4, 1, |hello| {
        hello.features = vec!["kvm".into()];
        hello.resources = BTreeMap::from([("mem".into(), 32)]);
    });
    assert_eq!(farm.objection(big, guix), "it builds in /gnu/store");
    assert_eq!(farm.objection(big, arm), "it does not build for x86_64-linux");
    assert_eq!(farm.objection(big, plain), "it lacks kvm");
    assert_eq!(farm.objection(big, small), "the build takes 64 of mem, and it has 32 in all");
    assert_eq!(farm.offered(), [""; 0]);
}

#[test]
fn what_is_shared_is_taken_and_given_back() {
    let mut farm = farm();
    farm.submit(1, vec![requiring(1, "one", &["mem:20"]), requiring(1, "two", &["mem:20"]), planned(1, "small", &[], true)]);
    let agent = farm.agent_with(1, 3, |hello| hello.resources = BTreeMap::from([("mem".into(), 32)]));
    let offers = farm.offers();
    assert_eq!(offers.iter().map(|offer| offer.drv.name_without_drv()).collect::<Vec<_>>(), ["one", "small"]);
    assert_eq!(farm.objection(build(1, "two"), agent), "the build takes 20 of mem, and 12 are free");
    farm.built(agent, &offers[0], 10);
    assert_eq!(farm.offered(), ["two"]);
}

/// An agent of three slots that share 32 of `mem`, a build that takes half of that and one that takes all, which has waited.
fn short_of_memory() -> (Farm, AgentId, Offer) {
    let mut farm = farm();
    let agent = farm.agent_with(1, 3, |hello| hello.resources = BTreeMap::from([("mem".into(), 32)]));
    farm.submit(1, vec![requiring(1, "small", &["mem:16"])]);
    let [running] = &farm.offers()[..] else { panic!("one is offered") };
    let running = running.clone();
    farm.submit(2, vec![requiring(2, "large", &["mem:32"])]);
    assert_eq!(farm.offered(), [""; 0]);
    farm.later(61_000);
    (farm, agent, running)
}

#[test]
fn an_agent_saves_up_for_a_build_that_takes_much_and_says_so() {
    let (mut farm, agent, running) = short_of_memory();
    farm.submit(3, vec![requiring(3, "later", &["mem:16"]), planned(3, "plain", &[], true)]);
    assert_eq!(farm.offered(), ["plain"]);
    assert_eq!(farm.objection(build(2, "large"), agent), "the build takes 32 of mem, and 16 are free, which it saves up for it");
    let kept = "the build takes 16 of mem; 16 are free, and saved up for one before it that takes 32";
    assert_eq!(farm.objection(build(3, "later"), agent), kept);
    farm.built(agent, &running, 10);
    assert_eq!(farm.offered(), ["large"]);
    assert_eq!(farm.objection(build(3, "later"), agent), "the build takes 16 of mem, and 0 are free");
}

#[test]
fn what_is_saved_up_goes_to_what_comes_first_all_the_same() {
    let (mut farm, agent, running) = short_of_memory();
    farm.submit(3, vec![requiring(3, "urgent", &["mem:16"])]);
    farm.wish(3, Wished::Priority(1), &[3], &[]);
    let [urgent] = &farm.offers()[..] else { panic!("one is offered") };
    assert_eq!(urgent.build, build(3, "urgent"));
    farm.built(agent, &running, 10);
    assert_eq!(farm.offered(), [""; 0]);
    farm.built(agent, urgent, 10);
    assert_eq!(farm.offered(), ["large"]);
}

#[test]
fn another_agent_saves_up_where_the_one_that_did_takes_no_more_builds() {
    let mut farm = farm();
    let agents = [1, 2].map(|n| farm.agent_with(n, 3, |hello| hello.resources = BTreeMap::from([("mem".into(), 32)])));
    farm.submit(1, vec![requiring(1, "one", &["mem:20"]), requiring(1, "two", &["mem:20"])]);
    assert_eq!(farm.offered(), ["one", "two"]);
    farm.submit(2, vec![requiring(2, "large", &["mem:32"])]);
    assert_eq!(farm.offered(), [""; 0]);
    farm.later(61_000);
    let large = build(2, "large");
    let (short, saves) =
        ("the build takes 32 of mem, and 12 are free", "the build takes 32 of mem, and 12 are free, which it saves up for it");
    assert_eq!(agents.map(|agent| farm.objection(large, agent)), [saves, short]);
    farm.drain(agents[0], true);
    farm.later(250);
    assert_eq!(agents.map(|agent| farm.objection(large, agent)), ["it is drained", saves]);
}

#[test]
fn an_agent_with_a_mandatory_feature_takes_only_what_requires_it() {
    let mut farm = farm();
    farm.submit(1, vec![planned(1, "plain", &[], true), requiring(1, "test", &["kvm"])]);
    let agent = farm.agent_with(1, 2, |hello| {
        hello.features = vec!["kvm".into()];
        hello.mandatory_features = BTreeSet::from(["kvm".into()]);
    });
    assert_eq!(farm.offered(), ["test"]);
    assert_eq!(farm.objection(build(1, "plain"), agent), "it takes only builds that require kvm");
}

#[test]
fn roots_go_where_the_tags_say_and_inputs_anywhere() {
    let mut farm = farm();
    let terms = Terms { on: tags(&[("cpu", "zen4")]), not_on: tags(&[("site", "attic")]), ..Terms::default() };
    farm.submit_on(1, terms, vec![planned(1, "input", &[], false), planned(1, "root", &[], true)]);
    let old = farm.agent(1, 1);
    let attic = farm.agent_with(2, 1, |hello| hello.tags = tags(&[("cpu", "zen4"), ("site", "attic")]));
    assert_eq!(farm.objection(build(1, "root"), old), "it has not the tag cpu=zen4");
    assert_eq!(farm.objection(build(1, "root"), attic), "it has the tag site=attic");
    assert_eq!(farm.offered(), ["input"]);
    farm.agent_with(3, 1, |hello| hello.tags = tags(&[("cpu", "zen4")]));
    assert_eq!(farm.offered(), ["root"]);
}

#[test]
fn the_same_derivation_goes_to_another_agent_where_that_is_asked_for() {
    let mut farm = farm();
    let first = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "same", &[], true)]);
    let offers = farm.offers();
    farm.built(first, &offers[0], 10);
    farm.submit_on(2, Terms { apart: true, ..Terms::default() }, vec![planned(2, "same", &[], true)]);
    assert_eq!(farm.offered(), [""; 0]);
    assert_eq!(farm.objection(build(2, "same"), first), "it has built the same derivation before");
    farm.agent(2, 1);
    assert_eq!(farm.offered(), ["same"]);
}

#[test]
fn an_agent_of_the_same_store_is_no_other_agent() {
    let mut farm = farm();
    let first = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "same", &[], true)]);
    let offers = farm.offers();
    farm.built(first, &offers[0], 10);
    let beside = farm.agent_with(2, 1, |hello| hello.store = StoreId::from("store-1".to_owned()));
    let known = Planned { avoid: BTreeSet::from([first]), ..planned(3, "known", &[], true) };
    for (n, again) in [(2, planned(2, "same", &[], true)), (3, known)] {
        let id = again.id;
        farm.submit_on(n, Terms { apart: true, ..Terms::default() }, vec![again]);
        assert_eq!(farm.objection(id, beside), "it has built the same derivation before");
    }
}

#[test]
fn a_failure_that_is_to_be_confirmed_counts_when_another_agent_has_met_it() {
    for root in [true, false] {
        a_failure_is_confirmed(root);
    }
}

fn a_failure_is_confirmed(root: bool) {
    let mut farm = farm();
    let (one, two) = (farm.agent(1, 1), farm.agent(2, 1));
    let top = planned(1, "top", &["flaky"], true);
    farm.submit_on(1, Terms { confirm: true, ..Terms::default() }, vec![planned(1, "flaky", &[], root), top]);
    let offers = farm.offers();
    farm.failed(one, &offers[0], Cause::BuilderFailed);
    assert_eq!(farm.state(build(1, "flaky")), "deferred");
    farm.later(2_000);
    let again = farm.offers();
    let events = farm.failed(two, &again[0], Cause::BuilderFailed);
    assert!(matches!(events[..], [What::BuildFailed { .. }, What::BuildBlocked { .. }]), "{events:?}");
}

#[test]
fn a_drained_agent_ends_what_it_has_until_its_time_is_over() {
    let mut farm = farm();
    farm.submit(1, vec![planned(1, "long", &[], true), planned(1, "next", &[], true)]);
    let agent = farm.agent(1, 1);
    assert_eq!(farm.offered(), ["long"]);
    let agents = BTreeSet::from([agent]);
    farm.advance(Input::Drain { agents: agents.clone(), drained: true, deadline_millis: Some(60_000) });
    assert_eq!(farm.objection(build(1, "next"), agent), "it is drained");
    farm.later(50_000);
    assert_eq!(farm.state(build(1, "long")), "leased");
    farm.later(20_000);
    assert_eq!(farm.state(build(1, "long")), "deferred");
    farm.advance(Input::Drain { agents, drained: false, deadline_millis: None });
    farm.later(600_000);
    assert_eq!(farm.objection(build(1, "next"), agent), "it has not let go of what it was told to stop");
}

#[test]
fn what_is_known_to_fail_fails_at_once_and_names_its_evidence() {
    let mut farm = farm();
    let agent = farm.agent(1, 1);
    let evidence = Evidence {
        build: build(9, "bad"),
        attempt: AttemptId::derived(build(9, "bad"), Epoch { generation: Generation(1), n: 1 }),
        agent,
    };
    let known = Planned { known_failure: Some(evidence), ..planned(1, "bad", &[], false) };
    farm.submit(1, vec![known, planned(1, "top", &["bad"], true)]);
    assert_eq!(farm.state(build(1, "bad")), "failed");
    assert_eq!(farm.state(build(1, "top")), "blocked");
    farm.wish(1, Wished::Retry, &[], &[build(1, "bad")]);
    assert_eq!(farm.offered(), ["bad"]);
}

#[test]
fn a_build_that_failed_here_does_not_wait_for_an_agent_that_is_stuck() {
    let mut farm = farm();
    let stuck = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "dropped", &[], true)]);
    let dropped = held(&farm.offers().remove(0), Phase::Building);
    farm.wish(1, Wished::Cancel, &[1], &[]);
    farm.later(400_000);
    farm.beat_with(stuck, |beat| beat.held = vec![dropped.clone()]);
    farm.later(400_000);
    farm.beat_with(stuck, |beat| beat.held = vec![dropped]);
    let here = farm.agent(2, 1);
    farm.submit(2, vec![planned(2, "top", &[], true)]);
    let offer = farm.offers().remove(0);
    farm.failed(here, &offer, Cause::DiskFull);
    farm.later(2_000);
    assert_eq!(farm.offered(), ["top"]);
}

#[test]
fn what_has_failed_itself_is_named_rather_than_what_was_known_to_fail() {
    let mut farm = farm();
    let agent = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "bad", &[], false), planned(1, "top", &["bad"], true)]);
    let offer = farm.offers().remove(0);
    farm.failed(agent, &offer, Cause::BuilderFailed);
    let evidence = Evidence { build: offer.build, attempt: offer.attempt, agent };
    // Their ids come in any order.
    for n in 2..10 {
        let known = Planned { known_failure: Some(evidence), ..planned(n, "bad", &[], false) };
        farm.submit(n, vec![known, planned(n, "top", &["bad"], true)]);
        for top in 1..=n {
            let state = &farm.core.state().build(build(top, "top")).unwrap().state;
            assert_eq!(*state, BuildState::Blocked { by: offer.build });
        }
    }
}

#[test]
fn of_two_amounts_of_the_same_a_build_takes_the_larger() {
    let mut farm = farm();
    farm.submit(1, vec![requiring(1, "greedy", &["mem:9", "mem:16"])]);
    let agent = farm.agent_with(1, 1, |hello| hello.resources = BTreeMap::from([("mem".into(), 12)]));
    assert_eq!(farm.objection(build(1, "greedy"), agent), "the build takes 16 of mem, and it has 12 in all");
}
