//! A process is killed in the middle of a graph, and started again: everything ends well, and nobody else's work is lost.

use drover_tests::{Farm, Submitted};

/// Builds in the graph: five layers of four, and the last.
const BUILDS: usize = 21;
/// So many builders have started when somebody is killed.
const MIDDLE: usize = 5;

/// A farm of two agents in the middle of a graph.
pub(crate) async fn in_the_middle() -> Option<(Farm, Submitted)> {
    let farm = Farm::start(2).await?;
    let starts = farm.folder.starts().display().to_string();
    let drv = farm.instantiate("layers", &[("starts", &starts)]);
    let submitted = farm.submit(&[&drv]);
    farm.until_started(MIDDLE).await;
    Some((farm, submitted))
}

/// Everything succeeded; every derivation was started once, but for at most `again` that were started twice.
pub(crate) async fn ends_well(farm: &Farm, submitted: Submitted, again: usize) {
    let ended = submitted.end().await;
    ended.succeeded();
    farm.audit(ended.submission).await.all_succeeded_once(BUILDS);
    let starts = farm.starts();
    assert_eq!(starts.len(), BUILDS, "{starts:?}");
    let extra = starts.values().sum::<usize>() - BUILDS;
    assert!(extra <= again, "{extra} more than once: {starts:?}");
}

async fn each_success_was_told_once(farm: &Farm) {
    let told = farm.told_successes().await;
    assert_eq!(told.len(), BUILDS);
    assert!(told.values().all(|times| *times == 1), "{told:?}");
}

#[tokio::test]
async fn the_scheduler_is_killed_in_the_middle_and_no_build_is_stopped() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    farm.scheduler.kill();
    farm.run_scheduler().await;
    ends_well(&farm, submitted, 0).await;
    each_success_was_told_once(&farm).await;
}

#[tokio::test]
async fn an_agent_is_killed_in_the_middle_and_only_its_own_build_is_started_again() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    farm.agents[0].process.kill();
    farm.agents[0].process.run();
    ends_well(&farm, submitted, 1).await;
    each_success_was_told_once(&farm).await;
}

#[tokio::test]
async fn an_agent_that_does_not_come_back_is_replaced_by_the_other() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    farm.agents[0].process.kill();
    // What it had built and not uploaded yet goes with it, besides what it was building.
    ends_well(&farm, submitted, 3).await;
}

#[tokio::test]
async fn the_publish_worker_is_killed_in_the_middle_and_no_build_is_stopped() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    farm.publish.kill();
    farm.publish.run();
    ends_well(&farm, submitted, 0).await;
    each_success_was_told_once(&farm).await;
}

#[tokio::test]
async fn the_broker_is_killed_in_the_middle_and_no_build_is_stopped() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    farm.nats.kill();
    farm.nats.run();
    ends_well(&farm, submitted, 0).await;
    each_success_was_told_once(&farm).await;
}

#[tokio::test]
async fn the_broker_is_killed_and_its_storage_deleted_and_no_build_is_stopped() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    farm.nats.kill();
    farm.nats.wipe();
    farm.nats.run();
    ends_well(&farm, submitted, 0).await;
}

#[tokio::test]
async fn every_process_but_the_agents_is_killed_at_once_and_no_build_is_stopped() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    farm.nats.kill();
    farm.scheduler.kill();
    farm.publish.kill();
    farm.nats.run();
    farm.publish.run();
    farm.run_scheduler().await;
    ends_well(&farm, submitted, 0).await;
}

#[tokio::test]
async fn a_store_daemon_is_killed_in_the_middle_and_no_derivation_is_blamed() {
    let Some((farm, submitted)) = in_the_middle().await else { return };
    farm.agents[0].store.kill_daemon();
    assert!(farm.agents[0].store.start_daemon());
    ends_well(&farm, submitted, 1).await;
    each_success_was_told_once(&farm).await;
}

#[tokio::test]
async fn what_is_submitted_while_there_is_no_scheduler_is_taken_up_when_there_is_one() {
    let Some(mut farm) = Farm::start(1).await else { return };
    farm.scheduler.kill();
    let drv = farm.instantiate("travel", &[]);
    let submission = farm.hand_in(&[&drv]).await;
    farm.nats.kill();
    farm.nats.run();
    farm.run_scheduler().await;
    farm.until_available(submission).await;
    farm.audit(submission).await.all_succeeded_once(3);
}
