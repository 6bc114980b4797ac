//! Which agents are trusted, and what one bad build, or one bad agent, does to a farm.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use drover_messages::event::What;
use drover_messages::offer::Offer;
use drover_messages::request::Terms;
use drover_messages::wish::Wished;
use drover_messages::{AgentId, Cause, Generation, Timestamp};
use drover_scheduler_core::pace::Pace;
use drover_scheduler_core::{BuildState, Change, Core, Effect, Input, KnownAgent, Limits, State};
use drover_store::StoreDir;
use farm::{Farm, build, path, planned, uuid};

/// The first time that an agent in quarantine gets nothing.
const FIRST_MILLIS: u64 = 300_000;

fn farm() -> Farm {
    Farm::with(Limits { offers_beyond_slots: 0, lease_millis: u64::MAX / 4, ..Limits::default() })
}

/// One agent with so many slots, all of them taken, and as many builds that wait.
fn busy(slots: u32) -> (Farm, AgentId, Vec<Offer>) {
    let mut farm = farm();
    let agent = farm.agent(1, slots);
    farm.submit(1, (0..2 * slots).map(|n| planned(1, &format!("build{n}"), &[], true)).collect());
    let offers = farm.offers();
    assert_eq!(offers.len(), slots as usize);
    (farm, agent, offers)
}

#[test]
fn an_agent_that_fails_where_others_succeed_gets_no_builds_and_then_one_to_try() {
    let mut farm = farm();
    let (bad, good) = (farm.agent(1, 2), farm.agent(2, 1));
    for n in 1..=5 {
        farm.submit_on(n, Terms { confirm: true, ..Terms::default() }, vec![planned(n, &format!("flaky{n}"), &[], true)]);
        // The agent with more room gets it first.
        let offers = farm.offers();
        farm.failed(bad, &offers[0], Cause::BuilderFailed);
        farm.later(2_000);
        let again = farm.offers();
        farm.built(good, &again[0], 10);
        assert_eq!(farm.distrust(bad).is_some(), n == 5);
    }
    let why = farm.distrust(bad).unwrap();
    assert!(why.ends_with("flaky5.drv failed there and succeeded elsewhere; it gets one build to try in 300 s"), "{why}");
    farm.submit(6, vec![planned(6, "a", &[], true), planned(6, "b", &[], true), planned(6, "c", &[], true)]);
    assert_eq!(farm.offered(), ["a"], "the other has one slot");
    farm.later(5 * 60 * 1000);
    let probe = farm.offers();
    assert_eq!(probe.len(), 1, "one to try");
    farm.built(bad, &probe[0], 10);
    assert_eq!(farm.distrust(bad), None);
    assert_eq!(farm.offered(), ["c"]);
}

#[test]
fn what_was_under_way_when_an_agent_lost_trust_neither_lengthens_nor_ends_that() {
    let (mut farm, agent, offers) = busy(16);
    let (first, under_way) = offers.split_at(5);
    first.iter().for_each(|offer| drop(farm.failed(agent, offer, Cause::DiskFull)));
    assert!(farm.distrust(agent).is_some());
    let (failing, succeeding) = under_way.split_at(6);
    failing.iter().for_each(|offer| drop(farm.failed(agent, offer, Cause::DiskFull)));
    succeeding.iter().for_each(|offer| farm.built(agent, offer, 10));
    assert_eq!(farm.offers().len(), 0);
    farm.later(FIRST_MILLIS - 1);
    assert_eq!(farm.offers().len(), 0);
    farm.later(1);
    assert_eq!(farm.offers().len(), 1);
}

#[test]
fn a_build_that_fails_so_wherever_it_is_tried_takes_no_agent_from_the_others() {
    for agents in [1, 3] {
        let mut farm = farm();
        let agents: Vec<AgentId> = (1..=agents).map(|n| farm.agent(n, 1)).collect();
        farm.submit(1, vec![planned(1, "bad", &[], true)]);
        for _ in 0..20 {
            farm.later(FIRST_MILLIS);
            let (agent, offer) = farm.offered_to().remove(0);
            farm.failed(agent, &offer, Cause::Killed);
        }
        assert!(agents.iter().all(|agent| farm.distrust(*agent).is_none()));
        farm.submit(2, vec![planned(2, "innocent", &[], true)]);
        assert_eq!(farm.offered(), ["innocent"]);
    }
}

#[test]
fn what_is_given_up_holds_nobody_else_up() {
    let mut farm = Farm::with(Limits { tries: 1, ..Limits::default() });
    let agent = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "lib", &[], true)]);
    farm.submit(2, vec![planned(2, "other", &["lib"], true)]);
    let offer = farm.offers().remove(0);
    farm.failed(agent, &offer, Cause::Killed);
    assert_eq!((farm.state(build(1, "lib")), farm.state(build(2, "other"))), ("deferred", "blocked"));

    farm.submit(3, vec![planned(3, "lib", &[], false), planned(3, "top", &["lib"], true)]);
    assert_eq!((farm.state(build(3, "lib")), farm.state(build(2, "other"))), ("ready", "waiting"));
    let offer = farm.offers().remove(0);
    farm.failed(agent, &offer, Cause::Killed);
    assert_eq!((farm.state(build(3, "top")), farm.state(build(2, "other"))), ("blocked", "blocked"));

    let retried = farm.wish(2, Wished::Retry, &[2], &[]);
    assert!(matches!(retried, What::WishFulfilled { builds: 2, .. }), "{retried:?}");
    assert_eq!((farm.state(build(3, "top")), farm.state(build(2, "other"))), ("waiting", "waiting"));
}

#[test]
fn after_too_many_failures_of_the_farm_in_a_row_a_build_waits_for_its_users_word() {
    let mut farm = Farm::with(Limits { tries: 3, ..Limits::default() });
    let agent = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "bad", &[], true)]);
    let fail = |farm: &mut Farm| {
        for offers in [1, 1, 1, 0] {
            let again = farm.offers();
            assert_eq!(again.len(), offers);
            again.iter().for_each(|offer| drop(farm.failed(agent, offer, Cause::Killed)));
            assert_eq!(farm.state(build(1, "bad")), "deferred");
            farm.later(30_000);
            farm.beat(agent);
        }
    };
    fail(&mut farm);
    farm.wish(1, Wished::Retry, &[], &[build(1, "bad")]);
    fail(&mut farm);
}

#[test]
fn an_agent_that_cannot_fetch_what_the_cache_has_is_not_trusted() {
    for there in [true, false] {
        let mut farm = farm();
        let agent = farm.agent(1, 1);
        farm.submit(1, (0..5).map(|n| planned(1, &format!("build{n}"), &[], true)).collect());
        farm.advance(Input::Confirmed { store_dir: StoreDir::nix(), items: vec![(path("input"), true)], missed_by: None });
        for _ in 0..5 {
            let offer = farm.offers().remove(0);
            let failed = farm.report_failed(agent, &offer, Cause::InputsUnavailable { missing: vec![path("input")] });
            let missed_by = failed.effects.into_iter().find_map(|effect| match effect {
                Effect::Confirm { missed_by, .. } => Some(missed_by),
                _ => None,
            });
            let (items, missed_by) = (vec![(path("input"), there)], missed_by.unwrap());
            farm.advance(Input::Confirmed { store_dir: StoreDir::nix(), items, missed_by });
        }
        assert_eq!(farm.distrust(agent).is_some(), there);
    }
}

#[test]
fn an_administrator_who_lets_an_agent_build_again_trusts_it() {
    let (mut farm, agent, offers) = busy(5);
    offers.iter().for_each(|offer| drop(farm.failed(agent, offer, Cause::DaemonGone)));
    assert_eq!(farm.offers().len(), 0);
    farm.drain(agent, false);
    assert_eq!((farm.distrust(agent), farm.offers().len()), (None, 5));
}

#[test]
fn trust_is_not_regained_by_going_away_and_an_absent_agent_is_released_as_well() {
    let mut farm = Farm::new();
    farm.submit(1, (0..5).map(|n| planned(1, &format!("build{n}"), &[], true)).collect());
    let agent = farm.agent(1, 5);
    farm.offers().iter().for_each(|offer| drop(farm.failed(agent, offer, Cause::DiskFull)));
    let away = Limits::default().lease_millis + 1;
    for released in [false, true] {
        farm.later(away);
        assert_eq!(farm.core.state().agents().count(), 0);
        let (id, known) = farm.core.state().absent().next().unwrap();
        assert_eq!((id, known.hello.name.as_str(), known.seen), (agent, "agent-1", Some(Timestamp(0))));
        if released {
            farm.drain(agent, false);
        }
        farm.agent(1, 5);
        assert_eq!(farm.distrust(agent).is_none(), released);
        assert_eq!(farm.core.state().absent().count(), 0);
    }
}

#[test]
fn of_very_many_agents_that_are_away_those_seen_longest_ago_are_forgotten() {
    let mut farm = Farm::new();
    for round in 0..3 {
        for n in 0..600 {
            farm.agent(round * 600 + n, 1);
        }
        farm.now.wall = Timestamp((round as u64 + 1) * 1_000_000);
        farm.now.heard = farm.now.heard.plus_millis(Limits::default().lease_millis + 1);
        farm.advance(Input::Tick);
    }
    farm.advance(Input::Tick);
    let absent: Vec<AgentId> = farm.core.state().absent().map(|(id, _)| id).collect();
    assert_eq!(absent, (800..1_800).map(|n| AgentId::from_uuid(uuid(500 + n))).collect::<Vec<_>>());
}

#[test]
fn an_agent_that_was_here_to_the_last_was_seen_when_the_last_reign_ended() {
    let mut farm = Farm::new();
    let agent = farm.agent(1, 1);
    let here = farm.core.state().agents().next().unwrap().1;
    let known = KnownAgent { hello: here.hello.clone(), seen: None, breaker: here.breaker.clone(), pace: here.pace };
    let mut state = State::new(Generation(2));
    state.remember_agents([(agent, known.clone())], Timestamp(5));
    farm.core = Core::new(state, Limits::default());
    let noted = Change::AgentKnown { agent, known: Some(Box::new(KnownAgent { seen: Some(Timestamp(5)), ..known })) };
    assert_eq!(farm.advance(Input::CaughtUp).changes, [Change::CaughtUp, noted]);
}

#[test]
fn a_probe_that_fails_where_another_agent_succeeds_lengthens_the_quarantine() {
    let mut farm = farm();
    let (bad, good) = (farm.agent(1, 2), farm.agent(2, 1));
    let confirmed = |farm: &mut Farm, n| {
        farm.submit_on(n, Terms { confirm: true, ..Terms::default() }, vec![planned(n, &format!("flaky{n}"), &[], true)]);
        let (agent, offer) = farm.offered_to().remove(0);
        assert_eq!(agent, bad);
        farm.failed(bad, &offer, Cause::BuilderFailed);
        farm.later(2_000);
        let again = farm.offers().remove(0);
        farm.built(good, &again, 10);
    };
    (1..=5).for_each(|n| confirmed(&mut farm, n));
    farm.later(FIRST_MILLIS);
    // The other has its hands full, so that the one to be tried gets it.
    farm.drain(good, true);
    farm.submit_on(6, Terms { confirm: true, ..Terms::default() }, vec![planned(6, "flaky6", &[], true)]);
    let (_, probe) = farm.offered_to().remove(0);
    farm.advance(Input::Drain { agents: [good].into(), drained: false, deadline_millis: None });
    farm.failed(bad, &probe, Cause::BuilderFailed);
    farm.later(2_000);
    let (agent, again) = farm.offered_to().remove(0);
    assert_eq!(agent, good);
    farm.built(good, &again, 10);
    assert!(farm.distrust(bad).unwrap().ends_with("it gets one build to try in 600 s"));
}

#[test]
fn a_probe_that_says_how_fast_its_agent_is_as_well_ends_the_quarantine() {
    let mut farm = farm();
    let (agent, other) = (farm.agent(1, 5), farm.agent(2, 1));
    let known = |n| planned(n, &format!("known-1.{n}"), &[], true);
    farm.drain(agent, true);
    farm.submit(1, vec![known(1)]);
    let offer = farm.offers().remove(0);
    farm.built(other, &offer, 60_000);
    farm.drain(agent, false);
    farm.drain(other, true);
    farm.submit(2, (2..7).map(known).collect());
    farm.offers().iter().for_each(|offer| drop(farm.failed(agent, offer, Cause::DiskFull)));
    farm.later(FIRST_MILLIS);
    let probe = farm.offers().remove(0);
    farm.built(agent, &probe, 400_000);
    assert_eq!(farm.distrust(agent), None);
    assert!(farm.core.state().agents().any(|(_, agent)| agent.pace != Pace::default()));
}

#[test]
fn agents_that_have_not_said_hello_yet_after_a_start_are_not_forgotten_for_room() {
    let mut farm = Farm::new();
    farm.agent(1, 1);
    let here = farm.core.state().agents().next().unwrap().1;
    let known = KnownAgent { hello: here.hello.clone(), seen: None, breaker: here.breaker.clone(), pace: here.pace };
    let mut state = State::new(Generation(2));
    state.remember_agents((0..1_002).map(|n| (AgentId::from_uuid(uuid(500 + n)), known.clone())), Timestamp(5));
    state.begin_reign(farm.now.heard, &Limits::default());
    farm.core = Core::new(state, Limits::default());
    farm.advance(Input::Tick);
    assert_eq!(farm.core.state().absent().count(), 1_002);
    farm.later(Limits::default().hear_first_millis());
    assert_eq!(farm.core.state().absent().count(), 1_000);
}

#[test]
fn what_was_given_up_is_named_rather_than_what_was_cancelled() {
    // Their ids come in any order.
    for n in 0..8 {
        let (cancelled, given_up, top) = (3 * n + 1, 3 * n + 2, 3 * n + 3);
        let mut farm = Farm::with(Limits { tries: 1, ..Limits::default() });
        let agent = farm.agent(1, 1);
        farm.submit(cancelled, vec![planned(cancelled, "lib", &[], true)]);
        farm.wish(cancelled, Wished::Cancel, &[cancelled], &[]);
        farm.submit(given_up, vec![planned(given_up, "lib", &[], true)]);
        let offer = farm.offers().remove(0);
        farm.failed(agent, &offer, Cause::Killed);
        farm.submit(top, vec![planned(top, "top", &["lib"], true)]);
        let state = &farm.core.state().build(build(top, "top")).unwrap().state;
        assert_eq!(*state, BuildState::Blocked { by: build(given_up, "lib") });
    }
}
