//! Builds by a real `nix-daemon`: how they end, well and badly.

mod support;

use std::time::{Duration, Instant};

use drover_daemon::{BuildMode, BuildStatus, DaemonError, Event, Job, StoreDaemon};
use support::{Lab, build, runs_with_argument, shell, until};

#[tokio::test]
async fn a_build_of_two_outputs_needs_no_drv_in_its_store_and_tells_its_log_live() {
    let (Some(there), Some(here)) = (Lab::start(&[]), Lab::start(&[])) else { return };
    let commands = "echo one; sleep 1; echo two; echo a > $out; echo b > $doc";
    let (drv, derivation) = there.instantiate(&shell("two", r#"outputs = [ "out" "doc" ];"#, commands));
    let mut connection = here.connect().await;
    let mut lines: Vec<(String, Instant)> = Vec::new();
    let job = Job::new(&drv, &derivation, []);
    let result = connection
        .build(&job, BuildMode::Normal, &mut |event| {
            if let Event::Line(line) = event {
                lines.push((line, Instant::now()));
            }
        })
        .await
        .unwrap();
    assert_eq!(result.status, BuildStatus::Built, "{}", result.message);
    let texts: Vec<&str> = lines.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, ["one", "two"]);
    assert!(lines[1].1 - lines[0].1 > Duration::from_millis(500), "the log came all at once");
    for output in derivation.outputs.values() {
        assert!(connection.is_valid(&output.path).await.unwrap());
    }
    assert!(!connection.is_valid(&drv).await.unwrap());
    let (again, log) = build(&mut connection, &drv, &derivation).await;
    assert_eq!((again.unwrap().status, log.len()), (BuildStatus::AlreadyValid, 0));
}

#[tokio::test]
async fn a_failed_build_is_a_result_with_its_log_and_a_plain_message() {
    let Some(lab) = Lab::start(&[]) else { return };
    let (drv, derivation) = lab.instantiate(&shell("fails", "", "echo about to fail; exit 3"));
    let mut connection = lab.connect().await;
    let (outcome, log) = build(&mut connection, &drv, &derivation).await;
    let result = outcome.unwrap();
    assert_eq!(result.status, BuildStatus::PermanentFailure);
    assert!(result.message.contains("exit code 3"), "{}", result.message);
    assert!(!result.message.contains('\x1b'), "{:?}", result.message);
    assert_eq!(log, ["about to fail"]);
    assert!(!connection.is_valid(&derivation.outputs.values().next().unwrap().path).await.unwrap());
}

#[tokio::test]
async fn a_missing_input_is_not_the_builders_failure() {
    let Some(lab) = Lab::start(&[]) else { return };
    let (_, other) = lab.instantiate(&shell("input", "", "echo > $out"));
    let (drv, derivation) = lab.instantiate(&shell("needs", "", "echo > $out"));
    let mut connection = lab.connect().await;
    let absent = other.outputs.values().next().unwrap().path.clone();
    let job = Job::new(&drv, &derivation, [absent]);
    let outcome = connection.build(&job, BuildMode::Normal, &mut |_| {}).await;
    match outcome {
        Ok(result) => assert_eq!(result.status, BuildStatus::MiscFailure, "{}", result.message),
        Err(error) => assert!(matches!(error, DaemonError::Daemon(_)), "{error:?}"),
    }
    assert!(connection.is_valid(&drv).await.unwrap(), "the connection goes on");
}

#[tokio::test]
async fn a_fixed_output_with_another_hash_is_rejected() {
    let Some(lab) = Lab::start(&[]) else { return };
    let fixed = format!(r#"outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = "{}";"#, "0".repeat(64));
    let (drv, derivation) = lab.instantiate(&shell("fixed", &fixed, "echo something else > $out"));
    let mut connection = lab.connect().await;
    let (outcome, _) = build(&mut connection, &drv, &derivation).await;
    let result = outcome.unwrap();
    assert_eq!(result.status, BuildStatus::OutputRejected, "{}", result.message);
    assert!(result.message.contains("hash mismatch"), "{}", result.message);
}

/// An argument by which the builder's process can be recognised on this machine.
fn mark(test: u32) -> String {
    format!("1000.{:08}{test}", std::process::id())
}

#[tokio::test]
async fn dropping_the_connection_kills_the_builder() {
    let Some(lab) = Lab::start(&[]) else { return };
    let mark = mark(1);
    let (drv, derivation) = lab.instantiate(&shell("long", "", &format!("sleep {mark}")));
    let mut connection = lab.connect().await;
    let building = tokio::spawn(async move { build(&mut connection, &drv, &derivation).await.0 });
    until("the builder runs", || runs_with_argument(&mark)).await;
    building.abort();
    until("the builder is gone", || !runs_with_argument(&mark)).await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_in_the_middle_is_a_lost_connection_and_can_come_back() {
    let Some(lab) = Lab::start(&[]) else { return };
    let mark = mark(2);
    let (drv, derivation) = lab.instantiate(&shell("long", "", &format!("sleep {mark}")));
    let mut connection = lab.connect().await;
    let building = tokio::spawn(async move {
        let (outcome, _) = build(&mut connection, &drv, &derivation).await;
        (outcome, connection)
    });
    until("the builder runs", || runs_with_argument(&mark)).await;
    lab.kill_daemon();
    let (outcome, connection) = building.await.unwrap();
    assert!(matches!(outcome, Err(DaemonError::Lost(_))), "{outcome:?}");
    assert!(!connection.is_usable());
    until("the builder is gone", || !runs_with_argument(&mark)).await;
    assert!(lab.start_daemon());
    let (drv, derivation) = lab.instantiate(&shell("after", "", "echo > $out"));
    let (outcome, _) = build(&mut lab.connect().await, &drv, &derivation).await;
    assert_eq!(outcome.unwrap().status, BuildStatus::Built);
}
