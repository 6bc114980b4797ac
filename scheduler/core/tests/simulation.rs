//! Farms that lose, repeat, reorder, crash, are restored from old copies and have two schedulers at once, each from a seed.
//! What is always true is looked at after every commit. However badly it goes: what can be built is built and published once
//! the trouble ends, what fails is told as failed, what stands behind it is blocked.

#[allow(dead_code)]
mod world;

use drover_messages::Timestamp;
use drover_messages::request::Mode;
use world::{Derivation, Dice, Faults, Graph, Machine, Moment, TICK_MILLIS, World, build_of, submission};

/// Seeds for each kind of trouble, unless `DROVER_SIM_SEEDS` says how many (`make sim SEEDS=n`). `DROVER_SIM_SEED` is one
/// seed alone.
const SEEDS: u64 = 25;
/// Ticks of trouble, and then of peace.
const TROUBLE: usize = 60;
const PEACE: usize = 4_000;
/// After so many ticks nothing comes any more of what went before.
const LATE: usize = 100;
/// When the second user submits, in ticks.
const SECOND_USER: usize = 12;

/// Says how to see it again, if a seed fails.
struct Reproduce<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Reproduce<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { name, seed } = self;
            eprintln!("seed {seed} of {name}; to see it again:");
            eprintln!("  DROVER_SIM_SEED={seed} cargo test --package drover-scheduler-core --test simulation {name}");
        }
    }
}

fn seeds(at_most: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    match number("DROVER_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DROVER_SIM_SEEDS").unwrap_or(at_most),
    }
}

/// Trouble, and then peace, of each seed. `name` is the test's.
fn survive(name: &str, faults: Faults, broken_percent: u64) {
    for seed in seeds(SEEDS) {
        let _reproduce = Reproduce { name, seed };
        let graph = Graph::layers(&mut Dice(seed * 7919 + 1), 5, 4, broken_percent);
        let mut world = World::new(seed, graph, faults, 3);
        world.submit(1);
        for tick in 0..TROUBLE {
            world.tick();
            if tick == SECOND_USER {
                world.submit(2);
            }
        }
        world.faults = Faults::default();
        // What is told of the trouble may come late, and give up what was just retried.
        (0..LATE).for_each(|_| world.tick());
        world.retry_all();
        world.run_to_the_end(PEACE);
        verify(&world);
    }
}

/// Every build has the end that its derivation lets it have, and what succeeded can be fetched.
fn verify(world: &World) {
    let reign = world.newest();
    for build in reign.book.builds.values() {
        let expected = match (world.graph.end_of(&build.recipe.drv), build.mode) {
            ("failed", Mode::Check) => "blocked",
            (end, _) => end,
        };
        let state = world.state_of(build.id).map(|state| state.name().as_str());
        assert_eq!(state, Some(expected), "{} of {:?}: {build:#?}", build.recipe.drv, build.submission);
        for path in build.products().filter(|_| expected == "succeeded") {
            assert!(world.is_served(path), "{path} is not published: {:?} {build:#?}", reign.core.state().item(path));
        }
    }
    assert!(world.machines.values().all(Machine::is_settled), "an agent keeps what nobody wants of it any more");
    let cancelled_ahead = reign.book.is_cancelled(submission(1));
    for drv in world.graph.derivations.iter().map(Derivation::drv).filter(|_| !cancelled_ahead) {
        assert!(reign.book.builds.contains_key(&build_of(1, drv)), "{drv} was forgotten");
    }
}

fn quiet(seed: u64, graph: Graph, agents: u64) -> World {
    let mut world = World::new(seed, graph, Faults::default(), agents);
    world.submit(1);
    world
}

#[test]
fn a_quiet_farm_builds_each_derivation_once() {
    let mut world = quiet(1, Graph::layers(&mut Dice(3), 6, 5, 0), 3);
    world.run_to_the_end(PEACE);
    verify(&world);
    assert_eq!(world.started(), 30 + 8, "30 builds and 8 checks");
}

#[test]
fn a_scheduler_with_an_older_state_takes_on_what_runs_and_what_was_built() {
    let mut world = quiet(2, Graph::layers(&mut Dice(5), 6, 5, 0), 3);
    let before_anything_was_leased = world.newest().book.clone();
    for _ in 0..8 {
        world.tick();
    }
    assert!(world.machines.values().any(|machine| machine.started > 1));
    world.restore(before_anything_was_leased);
    world.run_to_the_end(PEACE);
    verify(&world);
    assert_eq!(world.started(), 30 + 8, "something was built twice");
}

#[test]
fn what_is_refused_is_built_again_at_growing_intervals_until_it_is_taken() {
    let mut world = quiet(4, Graph::layers(&mut Dice(6), 1, 1, 0), 1);
    world.faults = Faults { refuse: 100, ..Faults::default() };
    for _ in 0..200 {
        world.tick();
    }
    assert!((3..=8).contains(&world.started()), "{} builds in 100 seconds", world.started());
    world.faults = Faults::default();
    world.run_to_the_end(PEACE);
    verify(&world);
}

#[test]
fn what_failed_on_one_machine_is_tried_on_another_first() {
    let mut world = quiet(7, Graph::layers(&mut Dice(8), 1, 6, 0), 2);
    world.machines.values_mut().next().expect("a machine").broken = true;
    world.run_to_the_end(PEACE);
    verify(&world);
    let tries = world.newest().book.builds.values().map(|build| build.attempts.len()).max();
    assert_eq!(tries, Some(2), "a build went back to the machine on which it had failed");
}

#[test]
fn time_that_nobody_could_hear_costs_no_lease() {
    let mut world = quiet(9, Graph::layers(&mut Dice(10), 6, 5, 0), 3);
    for _ in 0..8 {
        world.tick();
    }
    let longer_than_a_lease = 3 * world.newest().core.limits().lease_millis / TICK_MILLIS;
    world.cut_off(longer_than_a_lease);
    world.run_to_the_end(PEACE);
    verify(&world);
    assert_eq!(world.started(), 30 + 8, "something was built twice");
}

#[test]
fn the_clock_on_the_wall_decides_nothing() {
    let outcome = |jumps: bool| {
        let faults = Faults { lose: 10, repeat: 10, crash: 5, farm_failure: 10, ..Faults::default() };
        let mut world = World::new(11, Graph::layers(&mut Dice(12), 5, 4, 5), faults, 3);
        world.submit(1);
        for tick in 0..TROUBLE as u64 {
            if jumps {
                world.set_wall(Timestamp(tick * 7_919_000_003 % 5_000_000_000_000));
            }
            world.tick();
        }
        let builds = world.newest().book.builds.values();
        builds.map(|build| (build.id, build.state.clone(), build.attempts.clone())).collect::<Vec<_>>()
    };
    assert_eq!(outcome(true), outcome(false));
}

#[test]
fn lost_and_repeated_messages_lose_nothing() {
    survive("lost_and_repeated_messages_lose_nothing", Faults { lose: 20, repeat: 20, ..Faults::default() }, 0);
}

#[test]
fn a_broken_derivation_blocks_what_needs_it_and_nothing_else() {
    let faults = Faults { lose: 10, repeat: 10, ..Faults::default() };
    survive("a_broken_derivation_blocks_what_needs_it_and_nothing_else", faults, 10);
}

#[test]
fn a_scheduler_that_crashes_again_and_again_loses_nothing() {
    let faults = Faults { crash: 20, lose: 5, ..Faults::default() };
    survive("a_scheduler_that_crashes_again_and_again_loses_nothing", faults, 5);
}

#[test]
fn a_scheduler_restored_from_an_old_copy_loses_nothing() {
    let faults = Faults { restore: 10, crash: 5, ..Faults::default() };
    survive("a_scheduler_restored_from_an_old_copy_loses_nothing", faults, 5);
}

#[test]
fn of_two_schedulers_the_older_gives_up_and_nothing_is_lost() {
    let faults = Faults { rival: 10, lose: 5, repeat: 5, ..Faults::default() };
    survive("of_two_schedulers_the_older_gives_up_and_nothing_is_lost", faults, 5);
}

#[test]
fn streams_that_are_cut_lose_nothing() {
    let faults = Faults { cut_streams: 10, crash: 5, lose: 5, ..Faults::default() };
    survive("streams_that_are_cut_lose_nothing", faults, 5);
}

#[test]
fn killed_agents_and_failures_of_the_farm_fail_no_derivation() {
    let faults = Faults { kill_agent: 10, wipe_agent: 1, farm_failure: 20, ..Faults::default() };
    survive("killed_agents_and_failures_of_the_farm_fail_no_derivation", faults, 5);
}

#[test]
fn agents_that_are_cut_off_and_clocks_that_jump_lose_nothing() {
    let faults = Faults { cut_off_agent: 4, cut_off: 4, jump: 10, crash: 3, ..Faults::default() };
    survive("agents_that_are_cut_off_and_clocks_that_jump_lose_nothing", faults, 5);
}

#[test]
fn what_the_cache_or_the_bucket_loses_is_made_again() {
    let faults = Faults { rot: 8, lose_upload: 20, lose: 5, wipe_agent: 1, ..Faults::default() };
    survive("what_the_cache_or_the_bucket_loses_is_made_again", faults, 5);
}

#[test]
fn what_is_cancelled_and_wanted_again_is_built() {
    let faults = Faults { cancel: 15, lose: 10, repeat: 10, crash: 5, ..Faults::default() };
    survive("what_is_cancelled_and_wanted_again_is_built", faults, 5);
}

#[test]
fn everything_at_once_is_survived() {
    let faults = Faults {
        lose: 15,
        repeat: 15,
        crash: 5,
        restore: 3,
        rival: 3,
        cut_streams: 2,
        cut_off: 1,
        jump: 5,
        kill_agent: 5,
        wipe_agent: 1,
        cut_off_agent: 1,
        farm_failure: 10,
        refuse: 5,
        lose_upload: 5,
        rot: 2,
        cancel: 5,
    };
    survive("everything_at_once_is_survived", faults, 5);
}

/// A small farm, killed in each of its rounds: before the commit, before anything is carried out, and before anybody is
/// answered.
#[test]
fn a_crash_at_any_moment_of_any_round_loses_nothing() {
    let name = "a_crash_at_any_moment_of_any_round_loses_nothing";
    for seed in seeds(4) {
        let _reproduce = Reproduce { name, seed };
        let faults = Faults { lose: 5, ..Faults::default() };
        let graph = Graph::layers(&mut Dice(seed), 3, 2, 10);
        for moment in [Moment::Decided, Moment::Committed, Moment::CarriedOut] {
            let mut round = 0;
            loop {
                round += 1;
                let mut world = World::new(seed, graph.clone(), faults, 2);
                world.kill_at = Some((round, moment));
                world.submit(1);
                world.run_to_the_end(PEACE);
                verify(&world);
                if world.rounds < round {
                    break;
                }
            }
        }
    }
}
