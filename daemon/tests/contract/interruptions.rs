//! Builds that are cut off, and builds that meet.

use std::time::{Duration, Instant};

use drover_daemon::{BuildMode, BuildStatus, DaemonError, StoreDaemon};

use crate::support::{Lab, Plan, runs_with_argument, until};
use crate::watched::{build, watch};

/// An argument by which a builder's process can be recognised on this machine.
fn mark(lab: &Lab, behaviour: u32) -> String {
    format!("100{behaviour}.{:08}{}", std::process::id(), lab.kind() as u8)
}

pub async fn cancel(lab: &Lab) {
    let mut connection = lab.connect().await;
    let mark = mark(lab, 1);
    let made = Plan::new("long", format!("sleep {mark}")).make(lab);
    made.add(&mut connection).await;
    let building = {
        let made = made.clone();
        tokio::spawn(async move { watch(&mut connection, &made, &[], BuildMode::Normal).await.result })
    };
    until("the builder runs", || runs_with_argument(&mark)).await;
    building.abort();
    until("the builder is gone", || !runs_with_argument(&mark)).await;
    let mut connection = lab.connect().await;
    assert!(!connection.is_valid(made.out()).await.unwrap());
    let (_, next) = build(lab, &mut connection, &Plan::new("next", "echo > $out")).await;
    next.ended(BuildStatus::Built);
}

pub async fn daemon_killed_in_the_middle(lab: &Lab) {
    let mut connection = lab.connect().await;
    let mark = mark(lab, 2);
    let made = Plan::new("long", format!("[ -n \"$quick\" ] || sleep {mark}; echo > $out")).make(lab);
    made.add(&mut connection).await;
    let building = tokio::spawn(async move {
        let watched = watch(&mut connection, &made, &[], BuildMode::Normal).await;
        (watched.result, connection)
    });
    until("the builder runs", || runs_with_argument(&mark)).await;
    lab.kill_daemon();
    let (outcome, connection) = building.await.unwrap();
    assert!(matches!(outcome, Err(DaemonError::Lost(_))), "{outcome:?}");
    assert!(!connection.is_usable());
    until("the builder is gone", || !runs_with_argument(&mark)).await;
    assert!(lab.start_daemon());
    let (_, next) = build(lab, &mut lab.connect().await, &Plan::new("next", "echo > $out")).await;
    next.ended(BuildStatus::Built);
}

pub async fn two_builds_at_once(lab: &Lab) {
    let mut both = Vec::new();
    for name in ["left", "right"] {
        let made = Plan::new(name, "echo here; sleep 2; echo > $out").make(lab);
        let mut connection = lab.connect().await;
        made.add(&mut connection).await;
        both.push(tokio::spawn(async move {
            let watched = watch(&mut connection, &made, &[], BuildMode::Normal).await;
            (watched, Instant::now())
        }));
    }
    let mut seen = Vec::new();
    for building in both {
        let (watched, end) = building.await.unwrap();
        watched.ended(BuildStatus::Built);
        assert_eq!(watched.log(), ["here"], "each hears its own builder only");
        seen.push((watched.lines[0].1, end));
    }
    assert!(seen[0].0 < seen[1].1 && seen[1].0 < seen[0].1, "one waited for the other");
}

pub async fn same_build_twice_at_once(lab: &Lab) {
    let made = Plan::new("shared", "sleep 1; echo > $out").make(lab);
    let mut connections = [lab.connect().await, lab.connect().await];
    made.add(&mut connections[0]).await;
    let start = Instant::now();
    let both = connections.map(|mut connection| {
        let made = made.clone();
        tokio::spawn(async move { watch(&mut connection, &made, &[], BuildMode::Normal).await })
    });
    let mut built = 0;
    for building in both {
        let watched = building.await.unwrap();
        match watched.ending() {
            (BuildStatus::Built, _) => built += 1,
            (status, message) => assert_eq!(status, BuildStatus::AlreadyValid, "{message}"),
        }
    }
    assert_eq!(built, 1, "it was built once, and who waited says so");
    assert!(start.elapsed() < Duration::from_secs(10));
}
