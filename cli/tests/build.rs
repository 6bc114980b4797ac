//! `drover build` against a real nats-server and a scheduler that says what the test wants: what is sent, what is told,
//! and the exit code.

#![allow(clippy::unwrap_used)] // Also in what the tests share.

mod ground;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use drover_bucket::{Bucket, Key};
use drover_messages::query::{StateName, SubmissionAnswer};
use drover_messages::request::{Mode, Submit};
use drover_store::Pack;
use ground::{Ground, live, store_dir, words};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::test]
async fn what_the_farm_lacks_is_in_the_bucket_before_the_request_and_the_ids_are_told() {
    let Some(ground) = Ground::new().await else { return };
    ground.scheduler(|_| SubmissionAnswer::Unknown).await;
    let output = ground.build(&["--priority", "-3", "--tag", "why=test", "--no-input-builds"]).await;
    let (out, err) = words(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    let submitted = ground.came(1).await;
    let submit = &submitted[0];
    assert_eq!((submit.priority, submit.input_builds, submit.tags["why"].as_str()), (-3, false, "test"));
    let path = submit.store_dir.path(ground.drv.as_ref());
    assert_eq!(out, format!("submission {}\nbuild {} {path}\n", submit.submission, submit.roots[0].build));
    let bucket = Bucket::open(&ground.bucket_url()).unwrap();
    let pack = Pack::open(bucket.get(&Key::Pack(submit.packs[0]), 1 << 20).await.unwrap()).unwrap();
    assert_eq!(pack.get(&ground.drv).unwrap(), std::fs::read(path).unwrap());
}

#[tokio::test]
async fn a_build_is_taken_while_there_is_no_scheduler() {
    let Some(ground) = Ground::new().await else { return };
    let output = ground.build(&[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output).1);
    assert_eq!(ground.came(1).await.len(), 1);
}

#[tokio::test]
async fn a_check_is_asked_for_only_where_the_user_does() {
    let Some(ground) = Ground::new().await else { return };
    for (before, more, mode) in [(0, vec![], Mode::Build), (1, vec!["--check"], Mode::Check)] {
        let output = ground.build(&more).await;
        assert_eq!(output.status.code(), Some(0), "{}", words(&output).1);
        assert_eq!(ground.came(before + 1).await[before].mode, mode);
    }
}

#[tokio::test]
async fn waiting_ends_with_0_when_the_root_can_be_fetched() {
    let Some(ground) = Ground::new().await else { return };
    ground.scheduler(|known| known.last().map_or(SubmissionAnswer::Unknown, |submit| live(submit, StateName::Succeeded))).await;
    let output = ground.build(&["--wait"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output).1);
}

#[tokio::test]
async fn waiting_ends_with_1_when_a_build_failed_and_names_it() {
    let Some(ground) = Ground::new().await else { return };
    ground.scheduler(|known| known.last().map_or(SubmissionAnswer::Unknown, |submit| live(submit, StateName::Failed))).await;
    let output = ground.build(&["--wait"]).await;
    let (_, err) = words(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("hello failed: because of the test"), "{err}");
}

#[tokio::test]
async fn waiting_ends_with_3_when_it_takes_too_long_and_says_that_it_goes_on() {
    let Some(ground) = Ground::new().await else { return };
    ground.scheduler(|known| known.last().map_or(SubmissionAnswer::Unknown, |submit| live(submit, StateName::Leased))).await;
    let output = ground.build(&["--wait", "--timeout", "1"]).await;
    let (out, err) = words(&output);
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(out.starts_with("submission "), "{out}");
    assert!(err.contains("not done in time: 1 leased"), "{err}");
}

#[tokio::test]
async fn a_submission_that_the_scheduler_does_not_know_is_published_again() {
    let Some(ground) = Ground::new().await else { return };
    let second = |known: &[Submit]| match known {
        [_, again, ..] => live(again, StateName::Succeeded),
        _ => SubmissionAnswer::Unknown,
    };
    ground.scheduler(second).await;
    let output = ground.build(&["--wait"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output).1);
    let submitted = ground.came(2).await;
    assert_eq!(submitted[0], submitted[1]);
}

#[tokio::test]
async fn waiting_outlives_a_broker_that_loses_everything() {
    let Some(mut ground) = Ground::new().await else { return };
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = done.clone();
    ground
        .scheduler(move |known| match known.last() {
            Some(submit) if seen.load(std::sync::atomic::Ordering::Relaxed) => live(submit, StateName::Succeeded),
            Some(submit) => live(submit, StateName::Leased),
            None => SubmissionAnswer::Unknown,
        })
        .await;
    let drv = store_dir(&ground.dir).path(ground.drv.as_ref());
    let url = ground.server.url();
    let (id, password, bucket) = (ground.client.to_string(), ground.dir.path().join("password"), ground.bucket_url());
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_drover"));
    command.args(["build", &drv, "--wait", "--nats-url", &url, "--login", &id, "--bucket", &bucket]);
    command.arg("--login-password-file").arg(password).env_remove("DROVER_FARM").kill_on_drop(true);
    let mut waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It says so when the broker has taken the request: until then it would try again.
    let mut out = BufReader::new(waiting.stdout.take().unwrap()).lines();
    assert!(out.next_line().await.unwrap().unwrap().starts_with("submission "));
    ground.came(1).await;
    ground.server.kill();
    ground.server.wipe();
    ground.server.run();
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    let output = waiting.wait_with_output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await.expect("it ends in time").unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", words(&output).1);
}

#[tokio::test]
async fn bad_input_is_2_and_nothing_is_submitted() {
    let Some(ground) = Ground::new().await else { return };
    let path = store_dir(&ground.dir).path(ground.drv.as_ref());
    std::fs::write(&path, "Derive([(").unwrap();
    let spoilt = ground.build(&[]).await;
    assert_eq!(spoilt.status.code(), Some(2), "{}", words(&spoilt).1);
    assert!(words(&spoilt).1.contains("-hello.drv: byte 9"), "{}", words(&spoilt).1);
    let outputs = ground.drover(&["build", &format!("{path}^out")]).await;
    assert_eq!(outputs.status.code(), Some(2));
    let unknown_flag = ground.drover(&["build", "--no-such-flag"]).await;
    assert_eq!(unknown_flag.status.code(), Some(2));
    assert!(ground.submitted.lock().unwrap().is_empty());
}
