//! Farms that lose, repeat, reorder, crash and are restored from old copies, each from a seed. However badly it goes:
//! what can be built is built and published once the trouble ends, what fails is told as failed, what stands behind it is
//! blocked, and no table is ever asked for a transition that it does not have.

#[allow(dead_code)]
mod world;

use drover_messages::BuildId;
use drover_messages::SubmissionId;
use drover_messages::request::Mode;
use world::{Dice, Faults, Graph, World, id};

/// Seeds for each kind of trouble, unless `DROVER_SIM_SEEDS` says how many (`make sim SEEDS=n`).
const SEEDS: u64 = 25;
/// Ticks of trouble, and then of peace.
const TROUBLE: usize = 60;
const PEACE: usize = 3_000;

fn survive(name: &str, faults: Faults, broken_percent: u64) {
    let seeds = std::env::var("DROVER_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        let mut dice = Dice(seed * 7919 + 1);
        let graph = Graph::layers(&mut dice, 6, 5, broken_percent);
        let mut world = World::new(seed, graph, faults, 3);
        world.submit();
        for _ in 0..TROUBLE {
            world.tick();
        }
        world.faults = Faults::default();
        if faults.cancel > 0 {
            world.retry_all();
        }
        world.run_to_the_end(PEACE);
        verify(name, seed, &world);
    }
}

fn verify(name: &str, seed: u64, world: &World) {
    assert_eq!(world.illegal, Vec::<String>::new(), "{name}, seed {seed}: illegal transitions");
    let doomed = world.graph.doomed();
    for recipe in &world.graph.recipes {
        let build = BuildId::derived(SubmissionId::from_uuid(id(1)), &recipe.drv);
        let expected = match () {
            () if doomed.contains(&recipe.drv) => "blocked",
            () if world.graph.broken.contains(&recipe.drv) => "failed",
            () => "succeeded",
        };
        assert_eq!(world.state_name(build), expected, "{name}, seed {seed}: {} {:?}", recipe.drv, world.book.builds.get(&build));
        for product in recipe.outputs.values().filter(|_| expected == "succeeded") {
            let (item, build) = (world.core.state().item(&product.path), &world.book.builds[&build]);
            assert!(world.cache.contains(&product.path), "{name}, seed {seed}: not published: {item:?} {build:#?}");
        }
    }
    for check in world.graph.planned().iter().filter(|planned| planned.mode == Mode::Check) {
        let drv = &check.recipe.drv;
        let expected = if doomed.contains(drv) || world.graph.broken.contains(drv) { "blocked" } else { "succeeded" };
        assert_eq!(world.state_name(check.id), expected, "{name}, seed {seed}: the check of {drv}");
    }
}

#[test]
fn a_quiet_farm_builds_each_derivation_once() {
    let mut dice = Dice(3);
    let graph = Graph::layers(&mut dice, 6, 5, 0);
    let mut world = World::new(1, graph, Faults::default(), 3);
    world.submit();
    world.run_to_the_end(PEACE);
    verify("quiet", 1, &world);
    let started: u64 = world.machines.values().map(|machine| machine.started).sum();
    assert_eq!(started, 30 + 8, "30 builds and 8 checks");
}

#[test]
fn a_scheduler_with_an_older_state_takes_on_what_runs_and_what_was_built() {
    let mut dice = Dice(5);
    let graph = Graph::layers(&mut dice, 6, 5, 0);
    let mut world = World::new(2, graph, Faults::default(), 3);
    world.submit();
    let before_anything_was_leased = world.book.clone();
    for _ in 0..8 {
        world.tick();
    }
    assert!(world.machines.values().any(|machine| machine.started > 1));
    world.book = before_anything_was_leased;
    world.restart();
    world.run_to_the_end(PEACE);
    verify("older state", 2, &world);
    let started: u64 = world.machines.values().map(|machine| machine.started).sum();
    assert_eq!(started, 30 + 8, "something was built twice");
}

#[test]
fn what_is_refused_is_built_again_at_growing_intervals_until_it_is_taken() {
    let mut world = World::new(4, Graph::layers(&mut Dice(6), 1, 1, 0), Faults { refuse: 100, ..Faults::default() }, 1);
    world.submit();
    for _ in 0..200 {
        world.tick();
    }
    let started: u64 = world.machines.values().map(|machine| machine.started).sum();
    assert!((3..=8).contains(&started), "{started} builds in 100 seconds");
    world.faults = Faults::default();
    world.run_to_the_end(PEACE);
    verify("refused", 4, &world);
}

#[test]
fn what_failed_on_one_machine_is_tried_on_another_first() {
    let mut world = World::new(7, Graph::layers(&mut Dice(8), 1, 6, 0), Faults::default(), 2);
    world.machines.values_mut().next().unwrap().broken = true;
    world.submit();
    world.run_to_the_end(PEACE);
    verify("one broken machine", 7, &world);
    let tries = world.book.builds.values().map(|build| build.attempts.len()).max();
    assert_eq!(tries, Some(2), "a build went back to the machine on which it had failed");
}

#[test]
fn lost_and_repeated_messages_lose_nothing() {
    survive("lossy", Faults { lose: 20, repeat: 20, ..Faults::default() }, 0);
}

#[test]
fn a_broken_derivation_blocks_what_needs_it_and_nothing_else() {
    survive("broken", Faults { lose: 10, repeat: 10, ..Faults::default() }, 10);
}

#[test]
fn a_scheduler_that_crashes_again_and_again_loses_nothing() {
    survive("crash", Faults { crash: 20, lose: 5, ..Faults::default() }, 5);
}

#[test]
fn a_scheduler_restored_from_an_old_copy_loses_nothing() {
    survive("restore", Faults { restore: 10, crash: 5, ..Faults::default() }, 5);
}

#[test]
fn killed_agents_and_failures_of_the_farm_fail_no_derivation() {
    survive("farm", Faults { kill_agent: 10, farm_failure: 20, ..Faults::default() }, 5);
}

#[test]
fn what_is_cancelled_and_wanted_again_is_built() {
    survive("cancel", Faults { cancel: 15, lose: 10, repeat: 10, crash: 5, ..Faults::default() }, 5);
}

#[test]
fn everything_at_once_is_survived() {
    let all = Faults { cancel: 5, lose: 15, repeat: 15, crash: 5, restore: 3, kill_agent: 5, farm_failure: 10, refuse: 5 };
    survive("everything", all, 5);
}
