//! What an agent tells of its store, while items come and go.

#![allow(clippy::unwrap_used)]

mod support;

use drover_messages::agent::Beat;
use drover_messages::{Fingerprint, Holdings};
use drover_store::StorePath;

use support::Farm;
use support::labs::{Kind, Lab, Plan, store_path};

/// Adds a file that nothing keeps.
fn add(lab: &Lab, name: &str) -> StorePath {
    let file = lab.scratch().join(name);
    std::fs::write(&file, name).unwrap();
    store_path(&lab.run(&["nix-store", "--add", file.to_str().unwrap()]))
}

fn may_have(holds: &Option<Holdings>, path: &StorePath) -> bool {
    holds.as_ref().is_some_and(|holds| holds.may_have(Fingerprint::of(path)))
}

fn gained(beat: &Beat, path: &StorePath) -> bool {
    beat.gained.contains(&Fingerprint::of(path))
}

fn tells_nothing(beat: &Beat) -> bool {
    beat.holds.is_none() && beat.gained.is_empty()
}

/// Starts an agent, and waits until its first look at its store was told and answered.
async fn run_agent(farm: &mut Farm, look_secs: &str) -> Option<Holdings> {
    farm.scheduler.be_deaf(true);
    farm.run_agent(&["--store-look-secs", look_secs]);
    let holds = farm.scheduler.beat(|beat| beat.holds.is_some()).await.holds;
    farm.scheduler.be_deaf(false);
    farm.scheduler.beat(tells_nothing).await;
    holds
}

#[tokio::test]
async fn a_store_is_told_whole_and_then_what_comes_until_it_is_answered_and_whole_again_after_a_collection() {
    let Some(mut farm) = Farm::start().await else { return };
    let first = add(&farm.lab, "first");
    assert!(may_have(&run_agent(&mut farm, "1").await, &first));

    farm.scheduler.be_deaf(true);
    let second = add(&farm.lab, "second");
    for _ in 0..2 {
        farm.scheduler.beat(|beat| gained(beat, &second) && beat.holds.is_none()).await;
    }
    farm.scheduler.be_deaf(false);
    farm.scheduler.beat(tells_nothing).await;
    let hello = farm.scheduler.ask_for_hello().await;
    assert!(may_have(&hello.beat.holds, &first) && may_have(&hello.beat.holds, &second));

    farm.scheduler.be_deaf(true);
    farm.lab.run(&["nix-store", "--delete", &farm.lab.store_dir().path(&first)]);
    let beat = farm.scheduler.beat(|beat| beat.holds.is_some()).await;
    assert!(may_have(&beat.holds, &second) && !may_have(&beat.holds, &first), "{beat:?}");
    farm.scheduler.be_deaf(false);
    farm.scheduler.beat(tells_nothing).await;
}

#[tokio::test]
async fn what_was_built_and_what_it_needed_is_told_before_anybody_looks() {
    for kind in [Kind::Nix, Kind::Guix] {
        let Some(mut farm) = Farm::of(kind).await else { continue };
        run_agent(&mut farm, "1000").await;
        let inputs: Vec<_> = (kind == Kind::Nix).then(|| (add(&farm.lab, "input"), false)).into_iter().collect();
        let made = Plan::new("tiny", "echo > $out").make(&farm.lab);
        let packed = farm.pack_made(&[&made]).await.remove(0);
        farm.scheduler.be_deaf(true);
        farm.scheduler.lease(&packed, &inputs).await;
        let told = |beat: &Beat| gained(beat, made.out()) && inputs.iter().all(|(input, _)| gained(beat, input));
        farm.scheduler.beat(|beat| told(beat) && beat.holds.is_none()).await;
    }
}

#[tokio::test]
async fn an_agent_that_never_looks_tells_nothing() {
    let Some(mut farm) = Farm::start().await else { return };
    add(&farm.lab, "first");
    farm.run_agent(&["--store-look-secs", "0"]);
    farm.scheduler.beat(|beat| beat.not_ready.is_none()).await;
    assert_eq!(farm.scheduler.ask_for_hello().await.beat.holds, None);
}
