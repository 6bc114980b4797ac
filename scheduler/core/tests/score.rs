//! Who of several agents that may have a build gets it, and what is said of that.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use drover_messages::agent::Hello;
use drover_messages::event::What;
use drover_messages::holdings::{Fingerprint, Holdings};
use drover_messages::placement::{Placement, Score};
use drover_messages::wish::Wished;
use drover_messages::{AgentId, Cause};
use drover_scheduler_core::{Effect, Input, Limits, Order};
use farm::{Farm, build, path, planned};

fn farm() -> Farm {
    Farm::with(Limits { offers_beyond_slots: 0, lease_millis: u64::MAX / 4, ..Limits::default() })
}

fn holding(names: &[&str]) -> impl FnOnce(&mut Hello) {
    let fingerprints: Vec<Fingerprint> = names.iter().map(|name| Fingerprint::of(&path(name))).collect();
    move |hello| hello.beat.holds = Some(Holdings::of(fingerprints.into_iter()))
}

/// What is offered now: to whom, what, and why there.
fn placed(farm: &mut Farm) -> Vec<(AgentId, String, Option<Placement>)> {
    let outcome = farm.advance(Input::Dispatch);
    let why = |id| {
        outcome.events.iter().find_map(|what| match what {
            What::BuildPlaced { attempt, placement, .. } if *attempt == id => Some(placement.clone()),
            _ => None,
        })
    };
    let offers = outcome.effects.iter().filter_map(|effect| match effect {
        Effect::Offer { agent, offer } => Some((*agent, offer.drv.name_without_drv().to_owned(), why(offer.attempt))),
        _ => None,
    });
    offers.collect()
}

/// The one offer that is made now, with its reason.
fn only(farm: &mut Farm) -> (AgentId, String, Placement) {
    let mut placed = placed(farm);
    assert_eq!(placed.len(), 1);
    let (agent, name, why) = placed.remove(0);
    (agent, name, why.expect("a reason"))
}

/// Sources that can be fetched, as inputs of what is submitted later.
fn make_available(farm: &mut Farm, n: u128, names: &[&str]) {
    let items = names.iter().map(|name| (path(name), true)).collect();
    farm.submit(n, vec![planned(n, "user-of-all", names, true)]);
    farm.advance(Input::Confirmed { store_dir: drover_store::StoreDir::nix(), items, missed_by: None });
}

#[test]
fn a_build_goes_where_its_inputs_are_and_says_what_the_others_would_have_cost() {
    let mut farm = farm();
    let bare = farm.agent_with(1, 1, holding(&[]));
    let stocked = farm.agent_with(2, 1, holding(&["gcc", "glibc"]));
    make_available(&mut farm, 1, &["gcc", "glibc"]);
    let (agent, name, why) = only(&mut farm);
    assert_eq!((agent, name.as_str()), (stocked, "user-of-all"));
    assert_eq!((why.chosen.agent, why.chosen.score), (stocked, Score::default()));
    assert_eq!(why.others.len(), 1);
    assert_eq!(why.others[0].agent, bare);
    assert!(why.others[0].score.inputs_millis > 0, "{}", why.others[0].score);
}

#[test]
fn what_an_agent_gains_counts_from_the_beat_that_tells_it() {
    let mut farm = farm();
    let _bare = farm.agent_with(1, 1, holding(&[]));
    let later = farm.agent_with(2, 1, holding(&[]));
    make_available(&mut farm, 1, &["gcc"]);
    farm.beat_with(later, |beat| beat.gained = vec![Fingerprint::of(&path("gcc"))]);
    assert_eq!(placed(&mut farm)[0].0, later);
}

#[test]
fn what_an_agent_fetched_for_one_build_it_has_for_the_next() {
    let mut farm = farm();
    let agents = [farm.agent_with(1, 2, holding(&[])), farm.agent_with(2, 2, holding(&[]))];
    make_available(&mut farm, 1, &["gcc"]);
    let first = placed(&mut farm)[0].0;
    farm.submit(2, vec![planned(2, "next", &["gcc"], true)]);
    // The other is idler, but has nothing yet.
    let (second, _, why) = only(&mut farm);
    let idler = agents.into_iter().find(|agent| *agent != first).unwrap();
    let score = |agent| std::iter::once(&why.chosen).chain(&why.others).find(|c| c.agent == agent).unwrap().score;
    assert_eq!(score(first).inputs_millis, 0);
    assert!(score(idler).inputs_millis > 0);
    assert_eq!(score(first).spread_millis, 500);
    assert_eq!(second, if score(first).total_millis() < score(idler).total_millis() { first } else { idler });
}

#[test]
fn of_builds_that_are_as_urgent_an_agent_gets_the_one_of_which_it_has_most() {
    let mut farm = farm();
    make_available(&mut farm, 1, &["gcc", "ghc"]);
    let other = farm.agent(9, 1);
    assert_eq!(placed(&mut farm)[0].0, other);
    farm.submit(2, vec![planned(2, "haskell", &["ghc"], true), planned(2, "c", &["gcc"], true)]);
    let agent = farm.agent_with(1, 2, holding(&["gcc"]));
    let order: Vec<(AgentId, String)> = placed(&mut farm).into_iter().map(|(agent, name, _)| (agent, name)).collect();
    assert_eq!(order, [(agent, "c".to_owned()), (agent, "haskell".to_owned())]);
}

#[test]
fn a_long_build_goes_to_the_faster_agent_once_that_is_known() {
    let mut farm = farm();
    let (slow, fast) = (farm.agent(1, 1), farm.agent(2, 1));
    for round in 0..12 {
        let names = [format!("a-{round}.1"), format!("a-{round}.2")];
        farm.submit(10 + round, names.iter().map(|name| planned(10 + round, name, &[], true)).collect());
        let outcome = farm.advance(Input::Dispatch);
        for effect in outcome.effects {
            let Effect::Offer { agent, offer } = effect else { continue };
            farm.built(agent, &offer, if agent == slow { 120_000 } else { 40_000 });
        }
    }
    farm.submit(99, vec![planned(99, "a-100", &[], true)]);
    let (agent, _, why) = only(&mut farm);
    assert_eq!(agent, fast);
    assert!(why.others[0].score.speed_millis > why.chosen.score.speed_millis);
}

#[test]
fn what_took_much_memory_goes_where_there_is_some() {
    let mut farm = farm();
    farm.peak_memory_mib = Some(6_000);
    let first = farm.agent(9, 1);
    farm.submit(1, vec![planned(1, "chromium-1", &[], true)]);
    let offer = farm.offers().remove(0);
    farm.built(first, &offer, 1_000);
    farm.drain(first, true);

    let _small = farm.agent_with(1, 1, |hello| hello.beat.memory_free_mib = Some(1_000));
    let large = farm.agent_with(2, 1, |hello| hello.beat.memory_free_mib = Some(60_000));
    farm.submit(2, vec![planned(2, "chromium-2", &[], true)]);
    let (agent, _, why) = only(&mut farm);
    assert_eq!((agent, why.chosen.score.memory_millis), (large, 0));
    assert!(why.others[0].score.memory_millis > 0);
}

#[test]
fn what_only_one_agent_may_have_needs_no_reason() {
    let mut farm = farm();
    farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "one", &[], true)]);
    assert_eq!(placed(&mut farm)[0].2, None);
}

#[test]
fn by_age_alone_the_idlest_agent_gets_it_whatever_it_costs() {
    let mut farm = Farm::with(Limits { order: Order::FirstComeFirst, ..Limits::default() });
    let bare = farm.agent_with(1, 1, holding(&[]));
    farm.agent_with(2, 1, holding(&["gcc"]));
    make_available(&mut farm, 1, &["gcc"]);
    assert_eq!(placed(&mut farm)[0].0, bare);
}

#[test]
fn an_agent_is_told_of_as_placed_for_as_long_as_it_has_the_build() {
    let mut farm = farm();
    farm.agent(1, 1);
    farm.agent(2, 1);
    farm.submit(1, vec![planned(1, "one", &[], true)]);
    let (agent, _, why) = placed(&mut farm).remove(0);
    let known = farm.core.state().placement(build(1, "one")).cloned();
    assert_eq!(known, why);
    assert_eq!(known.unwrap().chosen.agent, agent);
}

#[test]
fn a_long_build_waits_for_a_faster_agent_that_is_soon_free_and_says_so() {
    let mut farm = farm();
    let (slow, fast) = uneven(&mut farm);
    // The fast one has something, and is half done with it.
    farm.drain(slow, true);
    farm.submit(500, vec![planned(500, "long-500", &[], true)]);
    let (agent, offer) = farm.offered_to().remove(0);
    assert_eq!(agent, fast);
    farm.later(30_000);
    farm.drain(slow, false);
    farm.submit(501, vec![planned(501, "long-501", &[], true), planned(501, "unknown", &[], true)]);

    let said = farm.objection(build(501, "long-501"), slow);
    assert!(said.starts_with("it is kept for a faster agent, free in about "), "{said}");
    let offers: Vec<(AgentId, String)> =
        farm.offered_to().into_iter().map(|(agent, offer)| (agent, offer.drv.name_without_drv().to_owned())).collect();
    assert_eq!(offers, [(slow, "unknown".to_owned())], "what nobody knows waits for nobody");
    farm.built(fast, &offer, 60_000);
    let (agent, offer) = farm.offered_to().remove(0);
    assert_eq!((agent, offer.build), (fast, build(501, "long-501")));
}

/// Two agents of one slot, of which the second is known to be five times as fast; nothing is known of their stores.
fn uneven(farm: &mut Farm) -> (AgentId, AgentId) {
    let (slow, fast) = (farm.agent(1, 1), farm.agent(2, 1));
    for n in 0..40 {
        let (agent, other, millis) = if n % 2 == 0 { (slow, fast, 300_000) } else { (fast, slow, 60_000) };
        farm.drain(other, true);
        farm.submit(n, vec![planned(n, &format!("long-{n}"), &[], true)]);
        let offer = farm.offers().remove(0);
        farm.built(agent, &offer, millis);
        farm.drain(other, false);
    }
    (slow, fast)
}

#[test]
fn a_build_is_kept_for_no_longer_than_the_agent_that_is_free_would_take() {
    let mut farm = farm();
    let (slow, fast) = uneven(&mut farm);
    farm.drain(slow, true);
    farm.submit(500, vec![planned(500, "long-500", &[], true)]);
    assert_eq!(farm.offered_to()[0].0, fast);
    farm.drain(slow, false);
    farm.submit(501, vec![planned(501, "long-501", &[], true)]);
    assert_eq!(farm.offered(), [""; 0], "the fast one is soon done");
    // It hangs.
    farm.later(2_000_000);
    farm.beat(slow);
    farm.beat(fast);
    let offers: Vec<AgentId> = farm.offered_to().into_iter().map(|(agent, _)| agent).collect();
    assert_eq!(offers, [slow]);
}

#[test]
fn nothing_is_kept_for_an_agent_that_could_have_it_now() {
    let mut farm = farm();
    let (slow, fast) = uneven(&mut farm);
    let inputs: Vec<String> = (0..8_000).map(|n| format!("input-{n}")).collect();
    let names: Vec<&str> = inputs.iter().map(String::as_str).collect();
    make_available(&mut farm, 600, &names);
    farm.wish(600, Wished::Cancel, &[600], &[]);
    // To fetch all that takes the fast one longer than the slow one builds.
    farm.beat_with(slow, |beat| beat.holds = Some(Holdings::of(names.iter().map(|name| Fingerprint::of(&path(name))))));
    farm.submit(601, vec![planned(601, "long-601", &names, true)]);
    let offers: Vec<AgentId> = farm.offered_to().into_iter().map(|(agent, _)| agent).collect();
    assert_eq!(offers, [slow]);
    assert_eq!(farm.core.state().placement(build(601, "long-601")).unwrap().others[0].agent, fast);
}

#[test]
fn nothing_is_kept_for_an_agent_that_may_not_have_it() {
    let mut farm = farm();
    let (slow, fast) = uneven(&mut farm);
    farm.drain(slow, true);
    farm.submit(501, vec![planned(501, "long-501", &[], true)]);
    let (_, offer) = farm.offered_to().remove(0);
    farm.drain(slow, false);
    farm.failed(fast, &offer, Cause::DiskFull);
    farm.later(2_000);
    assert_eq!(farm.objection(offer.build, slow), "");
    assert_eq!(farm.offered_to().into_iter().map(|(agent, _)| agent).collect::<Vec<_>>(), [slow]);
}
