//! Which of the builds that could be given is given first.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use drover_messages::wish::Wished;
use drover_scheduler_core::{Limits, Order, Package, Took};
use farm::{Farm, build, client, planned};

/// An hour after which what waits counts as one more urgent, in milliseconds.
const HOUR: u64 = 3_600_000;

/// A farm that offers nothing beyond slots.
fn farm() -> Farm {
    Farm::with(Limits { offers_beyond_slots: 0, lease_millis: u64::MAX / 4, ..Limits::default() })
}

#[test]
fn what_the_longest_path_hangs_on_goes_first() {
    let mut farm = farm();
    farm.submit(
        1,
        vec![
            planned(1, "short", &[], true),
            planned(1, "long", &[], false),
            planned(1, "middle", &["long"], false),
            planned(1, "top", &["middle"], true),
        ],
    );
    farm.agent(1, 1);
    assert_eq!(farm.offered(), ["long"]);
}

#[test]
fn durations_are_learned_by_package_whatever_its_version() {
    let mut farm = farm();
    let agent = farm.agent(1, 1);
    for (n, name, millis) in [(1, "slow-1.0", 600_000), (2, "fast-1.0", 100)] {
        farm.submit(n, vec![planned(n, name, &[], true)]);
        let offers = farm.offers();
        farm.built(agent, &offers[0], millis);
    }
    farm.submit(3, vec![planned(3, "fast-1.1", &[], true), planned(3, "slow-2.0", &[], true)]);
    assert_eq!(farm.offered(), ["slow-2.0"]);
    assert_eq!(farm.core.state().path_millis(build(3, "fast-1.1")), Some(100));
}

#[test]
fn priority_goes_before_the_longest_path() {
    let mut farm = farm();
    farm.submit(1, vec![planned(1, "long", &[], false), planned(1, "top", &["long"], true), planned(1, "short", &[], true)]);
    farm.wish(1, Wished::Priority(1), &[], &[build(1, "short")]);
    farm.agent(1, 1);
    assert_eq!(farm.offered(), ["short"]);
}

#[test]
fn clients_who_want_the_same_get_the_same() {
    let mut farm = farm();
    farm.submit(1, (0..6).map(|n| planned(1, &format!("a{n}"), &[], true)).collect());
    farm.submit(2, (0..2).map(|n| planned(2, &format!("b{n}"), &[], true)).collect());
    farm.agent(1, 4);
    assert_eq!(farm.offered(), ["a0", "b0", "a1", "b1"]);
}

#[test]
fn who_has_used_less_goes_first() {
    let mut farm = farm();
    let agent = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "a-x", &[], true), planned(1, "a-y", &[], true)]);
    let offers = farm.offers();
    farm.built(agent, &offers[0], 60_000);
    assert_eq!(farm.core.state().used(client(1)).unwrap().slot_millis, 60_000);
    farm.submit(2, vec![planned(2, "b", &[], true)]);
    assert_eq!(farm.offered(), ["b"], "though it is younger");
}

#[test]
fn a_client_gets_no_more_slots_than_it_may() {
    let mut farm = Farm::with(Limits { offers_beyond_slots: 0, slots_per_client: 2, ..Limits::default() });
    farm.submit(1, (0..6).map(|n| planned(1, &format!("a{n}"), &[], true)).collect());
    farm.agent(1, 4);
    assert_eq!(farm.offered(), ["a0", "a1"]);
    assert_eq!(farm.offered(), [""; 0]);
}

#[test]
fn what_has_waited_long_goes_before_what_has_just_come() {
    let mut farm = farm();
    farm.submit(1, vec![planned(1, "short", &[], true)]);
    farm.later(HOUR + 1);
    farm.submit(2, vec![planned(2, "long", &[], false), planned(2, "top", &["long"], true)]);
    farm.agent(1, 1);
    assert_eq!(farm.offered(), ["short"]);
}

#[test]
fn what_came_first_goes_first_where_that_is_asked_for() {
    let mut farm = Farm::with(Limits { order: Order::FirstComeFirst, ..Limits::default() });
    farm.submit(1, vec![planned(1, "short", &[], true)]);
    farm.submit(2, vec![planned(2, "long", &[], false), planned(2, "top", &["long"], true)]);
    farm.wish(2, Wished::Priority(1), &[2], &[]);
    farm.agent(1, 1);
    assert_eq!(farm.offered(), ["short", "long"]);
}

/// Two builds a layer, each of which needs both of the layer before: twice as many paths with each layer. Of
/// each layer one takes so long that the paths through it are as long as those through all layers before.
#[test]
fn what_is_learned_is_handed_down_once_however_many_paths_there_are() {
    const LAYERS: u32 = 50;
    let mut farm = farm();
    let name = |layer: u32, side: u64| format!("layer{layer}side{side}");
    let layers = (0..LAYERS).flat_map(|layer| (0..2).map(move |side| (name(layer, side), 1 + (side << layer))));
    let took = layers.chain([("top-*".to_owned(), 1 << LAYERS)]).map(|(name, millis)| {
        let package = Package { name, system: "x86_64-linux".into() };
        (package, Took::from_iter([millis]))
    });
    farm.core.state_mut().remember_usage(took, []);
    let agent = farm.agent(1, 2);
    farm.submit(1, vec![planned(1, "top-1", &[], true), planned(1, "top-2", &[], true)]);
    let offers = farm.offers();
    let mut needs: Vec<String> = Vec::new();
    let mut builds = Vec::new();
    for layer in 0..LAYERS {
        let inputs: Vec<&str> = needs.iter().map(String::as_str).collect();
        builds.extend((0..2).map(|side| planned(2, &name(layer, side), &inputs, false)));
        needs = vec![name(layer, 0), name(layer, 1)];
    }
    builds.push(planned(2, "top-3", &[&needs[0], &needs[1]], true));
    farm.submit(2, builds);
    let path = |farm: &Farm| farm.core.state().path_millis(build(2, &name(0, 0))).unwrap();
    let before = path(&farm);
    offers.iter().for_each(|offer| farm.built(agent, offer, 1));
    assert_eq!(before - path(&farm), (1 << LAYERS) - 1);
}
