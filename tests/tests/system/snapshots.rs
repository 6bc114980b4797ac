//! Copies of the scheduler's state, and farms that go on from one.

use drover_messages::ClientId;
use drover_messages::admin::Snapshot;
use drover_nats::permissions::Who;
use drover_tests::{Farm, Options};

use crate::killed::{ends_well, in_the_middle};

async fn snapshot(farm: &Farm) -> Snapshot {
    serde_json::from_str(&farm.told(&["admin", "snapshot", "--json"]).await).unwrap()
}

#[tokio::test]
async fn what_was_accepted_and_built_after_a_copy_was_made_is_there_when_that_is_restored() {
    let Some((mut farm, submitted)) = in_the_middle().await else { return };
    let copy = snapshot(&farm).await;
    let seen = farm.starts().len();
    farm.until_started(seen + 6).await;
    let later = farm.hand_in(&[&farm.instantiate("travel", &[])]).await;
    farm.until_planned(later).await;

    // What docs/deployment.md says, step by step.
    farm.scheduler.stop(drover_tests::PATIENCE).await;
    let folder = farm.folder.scheduler();
    for name in ["state.redb", "journal"] {
        std::fs::rename(folder.join(name), folder.join(format!("{name}.old"))).unwrap();
    }
    std::fs::copy(&copy.file, folder.join("state.redb")).unwrap();
    farm.run_scheduler().await;

    ends_well(&farm, submitted, 0).await;
    farm.until_available(later).await;
    farm.audit(later).await.all_succeeded_once(3);
}

#[tokio::test]
async fn a_copy_lies_where_the_scheduler_was_told_and_the_newest_are_kept() {
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().to_str().unwrap().to_owned().leak();
    let words = vec!["--snapshots", folder, "--snapshots-kept", "2"];
    let Some(farm) = Farm::without_stores(Options { words, ..Options::default() }).await else { return };
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(snapshot(&farm).await.file);
    }
    let left = std::fs::read_dir(elsewhere.path()).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    let mut left: Vec<String> = left.collect();
    left.sort();
    assert_eq!(left, made[1..]);
    let said = farm.told(&["admin", "snapshot"]).await;
    assert!(said.starts_with(&format!("{folder}/state-")) && said.contains(" in "), "{said}");
}

#[tokio::test]
async fn who_is_no_administrator_is_refused_at_once() {
    let Some(mut farm) = Farm::without_stores(Options::default()).await else { return };
    let other = farm.nats.login(Who::Client(ClientId::new())).await;
    let password = farm.folder.password_file(&other);
    let as_other = ["--login", &other.user, "--login-password-file", password.to_str().unwrap()];
    let refused = farm.drover(&[&["admin", "snapshot"], &as_other[..]].concat()).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("it takes one of the role admin"), "{refused:?}");
    assert!(!farm.folder.scheduler().join("snapshots").exists());
}
