//! That everything gets its turn: farms with too much to do, for days of virtual time.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use drover_messages::BuildId;
use drover_messages::wish::Wished;
use drover_scheduler_core::Limits;
use farm::{Farm, build, planned};

/// What each build takes, in milliseconds.
const BUILD_MILLIS: u64 = 60_000;
const HOUR_ROUNDS: u128 = 60;

/// One slot that is always taken, and every minute another's urgent builds: more than it can do. Gives the hours until a
/// build that nobody is in a hurry for has had its turn.
fn hours_until_its_turn(urgent_a_minute: u128, priority: i32, most_hours: u128) -> Option<u128> {
    let mut farm = Farm::with(Limits { offers_beyond_slots: 0, lease_millis: u64::MAX / 4, ..Limits::default() });
    let agent = farm.agent(1, 1);
    let lowly: BuildId = build(1, "lowly");
    farm.submit(1, vec![planned(1, "lowly", &[], true)]);
    for round in 0..most_hours * HOUR_ROUNDS {
        let n = 2 + round;
        farm.submit(n, (0..urgent_a_minute).map(|i| planned(n, &format!("urgent{round}x{i}"), &[], true)).collect());
        farm.wish(n, Wished::Priority(priority), &[n], &[]);
        let offers = farm.offers();
        if offers.iter().any(|offer| offer.build == lowly) {
            return Some(round / HOUR_ROUNDS);
        }
        offers.iter().for_each(|offer| farm.built(agent, offer, BUILD_MILLIS));
        farm.later(BUILD_MILLIS);
    }
    None
}

#[test]
fn an_old_lowly_build_gets_its_turn_although_urgent_ones_come_without_end() {
    let hours = hours_until_its_turn(2, 3, 12).expect("it starves");
    assert!(hours >= 3, "the urgent ones go before it for a while: {hours}");
}

/// An agent of two slots that share 32 of `mem`, where every half minute a build ends that takes half of it, and two more are
/// submitted. Gives the minutes until a build that takes all of it is offered.
fn minutes_until_all_is_free(most_minutes: u128) -> Option<u128> {
    let mut farm = Farm::with(Limits { offers_beyond_slots: 0, lease_millis: u64::MAX / 4, ..Limits::default() });
    let agent = farm.agent_with(1, 2, |hello| hello.resources = BTreeMap::from([("mem".into(), 32)]));
    let taking = |n: u128, name: &str, feature: &str| {
        let mut planned = planned(n, name, &[], true);
        planned.recipe.features = BTreeSet::from([feature.to_owned()]);
        planned
    };
    farm.submit(1, vec![taking(1, "first", "mem:16")]);
    let mut running = VecDeque::from(farm.offers());
    farm.submit(2, vec![taking(2, "large", "mem:32")]);
    for half_minute in 0..2 * most_minutes {
        let n = 3 + half_minute;
        farm.submit(n, ["one", "other"].map(|name| taking(n, &format!("{name}{half_minute}"), "mem:16")).to_vec());
        farm.later(BUILD_MILLIS / 2);
        running.extend(farm.offers());
        if running.iter().any(|offer| offer.build == build(2, "large")) {
            return Some(half_minute / 2);
        }
        if let Some(offer) = running.pop_front() {
            farm.built(agent, &offer, BUILD_MILLIS);
        }
        running.extend(farm.offers());
    }
    None
}

#[test]
fn a_build_that_takes_much_gets_its_turn_although_smaller_ones_take_each_part_that_comes_free() {
    let minutes = minutes_until_all_is_free(12 * 60).expect("it starves");
    assert!(minutes <= 5, "{minutes}");
}
