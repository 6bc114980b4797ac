//! What becomes of builds when something that could be fetched is gone.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use std::collections::BTreeMap;

use drover_messages::Cause;
use drover_messages::event::What;
use drover_messages::wish::Wished;
use drover_scheduler_core::{Effect, Input, ItemState, Limits, Outcome, Product};
use drover_store::StoreDir;
use farm::{Farm, build, path, planned};

/// The bucket says whether the cache has an item.
fn confirm(farm: &mut Farm, name: &str, there: bool) -> Outcome {
    farm.advance(Input::Confirmed { store_dir: StoreDir::nix(), items: vec![(path(name), there)], missed_by: None })
}

fn replanned(outcome: &Outcome) -> Vec<Effect> {
    outcome.effects.iter().filter(|effect| matches!(effect, Effect::Replan { .. })).cloned().collect()
}

/// `top` needs `input`, which nobody here has built.
fn farm() -> Farm {
    let mut farm = Farm::with(Limits { offers_beyond_slots: 0, losses: 3, ..Limits::default() });
    farm.submit(1, vec![planned(1, "top", &["input"], true)]);
    confirm(&mut farm, "input", true);
    assert_eq!(farm.state(build(1, "top")), "ready");
    farm
}

#[test]
fn what_is_lost_and_was_never_built_here_is_planned_for_whoever_needs_it() {
    let mut farm = farm();
    let outcome = confirm(&mut farm, "input", false);
    assert_eq!(replanned(&outcome), [Effect::Replan { build: build(1, "top") }]);
    assert_eq!(farm.state(build(1, "top")), "waiting");
    farm.advance(Input::AddBuilds { submission: farm::submission(1), builds: vec![planned(1, "input", &[], false)] });
    farm.agent(1, 1);
    assert_eq!(farm.offered(), ["input"]);
}

#[test]
fn what_was_about_to_be_planned_when_the_process_ended_is_planned_again() {
    let mut farm = farm();
    confirm(&mut farm, "input", false);
    assert_eq!(replanned(&farm.advance(Input::CaughtUp)), [Effect::Replan { build: build(1, "top") }]);
}

#[test]
fn the_build_that_made_it_is_opened_again() {
    let mut farm = farm();
    let agent = farm.agent(1, 1);
    farm.submit(2, vec![planned(2, "made", &[], true), planned(2, "user", &["made", "absent"], true)]);
    let offers = farm.offers();
    assert_eq!(offers[0].build, build(2, "made"));
    farm.built(agent, &offers[0], 10);
    confirm(&mut farm, "made", true);
    let outcome = confirm(&mut farm, "made", false);
    assert!(outcome.events.iter().any(|what| matches!(what, What::BuildReopened { .. })), "{:?}", outcome.events);
    assert_eq!(farm.state(build(2, "made")), "ready");
}

#[test]
fn what_is_lost_again_and_again_is_given_up_until_somebody_wants_it() {
    let mut farm = farm();
    confirm(&mut farm, "input", false);
    confirm(&mut farm, "input", true);
    confirm(&mut farm, "input", false);
    confirm(&mut farm, "input", true);
    let last = confirm(&mut farm, "input", false);
    assert_eq!(replanned(&last), []);
    assert!(matches!(last.events[..], [What::ItemLost { .. }, What::ItemGivenUp { losses: 3, .. }]), "{:?}", last.events);
    assert_eq!(farm.core.state().item(&path("input")), Some(&ItemState::Lost));
    assert_eq!(replanned(&farm.advance(Input::CaughtUp)), []);
    farm.wish(1, Wished::Retry, &[], &[build(1, "top")]);
    assert_eq!(replanned(&farm.advance(Input::CaughtUp)), [Effect::Replan { build: build(1, "top") }]);
}

#[test]
fn a_build_of_which_two_outputs_are_lost_at_once_is_opened_again_once() {
    let mut farm = Farm::new();
    let agent = farm.agent(1, 1);
    let mut two = planned(1, "two", &[], true);
    let doc = Product { path: path("two-doc"), ca: None };
    two.recipe.outputs = two
        .recipe
        .outputs
        .iter()
        .map(|(name, product)| (name.clone(), product.clone()))
        .chain([("doc".parse().unwrap(), doc)])
        .collect();
    farm.submit(1, vec![two, planned(1, "user", &["two", "two-doc", "absent"], true)]);
    let offer = farm.offers().remove(0);
    let (out, doc) = ("out".parse().unwrap(), "doc".parse().unwrap());
    farm.made(agent, &offer, BTreeMap::from([(out, path("two")), (doc, path("two-doc"))]), 10);
    let items = |there| ["two", "two-doc"].map(|name| (path(name), there)).to_vec();
    for there in [true, false] {
        farm.advance(Input::Confirmed { store_dir: StoreDir::nix(), items: items(there), missed_by: None });
    }
    assert_eq!(farm.state(build(1, "two")), "ready");
}

#[test]
fn what_is_lost_is_made_again_by_who_made_it_beside_a_build_that_is_given_up() {
    let mut farm = Farm::with(Limits { tries: 1, ..Limits::default() });
    let agent = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "lib", &[], true)]);
    let offer = farm.offers().remove(0);
    farm.failed(agent, &offer, Cause::Killed);
    farm.submit(2, vec![planned(2, "lib", &[], false), planned(2, "top", &["lib", "absent"], true)]);
    let offer = farm.offers().remove(0);
    farm.built(agent, &offer, 10);
    confirm(&mut farm, "lib", true);
    confirm(&mut farm, "lib", false);
    assert_eq!(["deferred", "ready"], [1, 2].map(|n| farm.state(build(n, "lib"))));
}
