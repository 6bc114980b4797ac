//! What no recorded session shows: old daemons, what is missing before a build, and what goes wrong in odd ways.

use std::collections::BTreeSet;

use drover_store::{Derivation, DrvPath, StoreDir, StorePath};

use super::Connection;
use super::scripted::{asked_valid, connection, greeting, refused, told};
use crate::scripted::{LAST, Step, Word};
use crate::{BuildMode, BuildResult, BuildStatus, DaemonError, Event, Job, Options, ProtocolVersion, StoreDaemon};
use Step::{Expect, Say, Stall};
use Word::{N, S};

const OUT: &str = "/gnu/store/0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello";
const LIBC: &str = "/gnu/store/1c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-libc";
const DRV: &str = "/gnu/store/2c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello.drv";
const STARTED: &str = "@ build-started /gnu/store/2c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello.drv - x86_64-linux /log 7\n";

fn path(absolute: &str) -> StorePath {
    StoreDir::guix().parse(absolute).unwrap()
}

fn hello() -> (DrvPath, Derivation) {
    let aterm = format!(r#"Derive([("out","{OUT}","","")],[],["{LIBC}"],"x86_64-linux","{LIBC}/sh",[],[("out","{OUT}")])"#);
    (path(DRV).try_into().unwrap(), Derivation::parse(&StoreDir::guix(), aterm.as_bytes()).unwrap())
}

/// The daemon is asked for `hello` and does this.
fn asked_to_build(does: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let inputs = asked_valid(&BTreeSet::from([path(LIBC)]), &BTreeSet::new());
    let request = Expect(vec![N(9), N(1), S(DRV), N(0)]);
    greeting(0x164, 0x164).into_iter().chain(inputs).chain([request]).chain(does).collect()
}

/// Builds `hello` with a daemon that plays this.
async fn build(script: Vec<Step>) -> (Result<BuildResult, DaemonError>, Vec<Event>, Connection) {
    let (mut connection, _daemon) = connection(script).await;
    connection.options = Some(Options::default());
    let (drv, derivation) = hello();
    let mut events = Vec::new();
    let job = Job::new(&drv, &derivation, []);
    let outcome = connection.build(&job, BuildMode::Normal, &mut |event| events.push(event)).await;
    (outcome, events, connection)
}

/// How a build fails of which the daemon told this.
async fn fails(texts: &[&str], status: u64) -> BuildResult {
    let failure = refused("build of `hello' failed", status);
    build(asked_to_build(texts.iter().map(|text| told(text)).chain([failure]))).await.0.unwrap()
}

#[tokio::test]
async fn an_old_daemon_is_told_its_limits_by_number() {
    let numbers = [0, 0, 0, 0, 1, 60, 0, 0, 0, 1, 4, 0, 3].map(N);
    let settings = ["print-extended-build-trace", "0", "multiplexed-build-output", "true", "build-timeout", "9"].map(S);
    let request = [&[N(19)][..], &numbers, &settings].concat();
    let script = greeting(0x160, 0x160).into_iter().chain([Expect(request), Say(vec![LAST])]);
    let (mut connection, daemon) = connection(script.collect()).await;
    let options = Options { cores: 4, max_silent_secs: 60, build_timeout_secs: 9, ..Options::default() };
    connection.set_options(&options).await.unwrap();
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_daemon_newer_than_we_are_is_greeted_in_our_newest_version() {
    let (connection, daemon) = connection(greeting(0x166, 0x164)).await;
    assert_eq!(connection.protocol(), ProtocolVersion::NEWEST_GUIX);
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_daemon_that_was_told_no_options_is_told_them_before_it_builds() {
    let numbers = [0, 0, 0, 0, 0, 0, 0, 1, 0, 6].map(N);
    let traces = ["print-extended-build-trace", "0", "multiplexed-build-output", "true"].map(S);
    let limits = ["build-timeout", "0", "build-max-silent-time", "0", "build-max-jobs", "1", "build-cores", "1"].map(S);
    let options = [&[N(19)][..], &numbers, &traces, &limits].concat();
    let mut script = asked_to_build([told(STARTED), Say(vec![LAST, N(1)])]);
    script.splice(4..4, [Expect(options), Say(vec![LAST])]);
    script.extend(asked_valid(&BTreeSet::from([path(OUT)]), &BTreeSet::new()));
    let (mut connection, daemon) = connection(script).await;
    let (drv, derivation) = hello();
    let built = connection.build(&Job::new(&drv, &derivation, []), BuildMode::Normal, &mut |_| {}).await.unwrap();
    assert_eq!(built.status, BuildStatus::Built);
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn the_daemon_is_not_asked_to_build_what_lacks_an_input() {
    let libc = BTreeSet::from([path(LIBC)]);
    let script = greeting(0x164, 0x164).into_iter().chain(asked_valid(&libc, &libc)).chain([Stall]).collect();
    let (outcome, _, connection) = build(script).await;
    let missing = outcome.unwrap();
    assert_eq!(missing.status, BuildStatus::MiscFailure);
    assert!(missing.message.contains(path(LIBC).as_str()), "{}", missing.message);
    assert!(connection.is_usable());
}

#[tokio::test]
async fn outputs_that_were_fetched_are_told_as_such() {
    let fetched = told("@ substituter-succeeded /gnu/store/0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello\n");
    let mut script = asked_to_build([fetched, Say(vec![LAST, N(1)])]);
    script.extend(asked_valid(&BTreeSet::from([path(OUT)]), &BTreeSet::new()));
    assert_eq!(build(script).await.0.unwrap().status, BuildStatus::Substituted);
}

#[tokio::test]
async fn the_end_of_a_log_without_a_newline_is_told() {
    let log = [told(STARTED), told("@ build-log 7 4\none\n"), told("@ build-log 7 3\ntwo"), Say(vec![LAST, N(1)])];
    let mut script = asked_to_build(log);
    script.extend(asked_valid(&BTreeSet::from([path(OUT)]), &BTreeSet::new()));
    let (_, events, _) = build(script).await;
    assert_eq!(events, ["one", "two"].map(|line| Event::Line(line.into())));
}

#[tokio::test]
async fn each_failure_finds_its_status() {
    let failed = |how: &str| format!("@ build-failed {DRV} - {how}\n");
    let table: [(&[&str], u64, BuildStatus, &str); 8] = [
        (
            &[STARTED, &failed("1 builder for `x' failed due to signal 9 (Killed)")],
            100,
            BuildStatus::PermanentFailure,
            "signal 9",
        ),
        (&[STARTED, &failed("1 builder for `x' failed with exit code 1")], 1, BuildStatus::TransientFailure, "exit code 1"),
        (
            &[STARTED, &failed("1 output `x' is not allowed to refer to path `y'")],
            1,
            BuildStatus::OutputRejected,
            "refer to path",
        ),
        (&[&failed("0 `exportReferencesGraph' contains an invalid path")], 100, BuildStatus::InputRejected, "invalid path"),
        (&["builder for `x' failed previously (cached)\n", &failed("cached")], 100, BuildStatus::CachedFailure, "previously"),
        (
            &[STARTED, "x killed after writing more than 9 bytes of log output\n", &failed("timeout")],
            101,
            BuildStatus::LogLimitExceeded,
            "9 bytes",
        ),
        (
            &["cannot build derivation `x': 1 dependencies couldn't be built\n"],
            1,
            BuildStatus::DependencyFailed,
            "1 dependencies",
        ),
        (&[], 1, BuildStatus::MiscFailure, "build of `hello' failed"),
    ];
    for (texts, status, expected, words) in table {
        let result = fails(texts, status).await;
        assert_eq!(result.status, expected, "{texts:?}");
        assert!(result.message.contains(words), "{}", result.message);
    }
}

#[tokio::test]
async fn a_disk_that_may_be_full_is_told_with_the_failure() {
    let note = "note: build failure may have been caused by lack of free disk space\n";
    let failed = format!("@ build-failed {DRV} - 1 builder for `x' failed with exit code 1\n");
    let result = fails(&[STARTED, note, &failed], 1).await;
    assert_eq!(result.status, BuildStatus::TransientFailure);
    assert!(result.message.contains("lack of free disk space"), "{}", result.message);
}

#[tokio::test]
async fn a_daemon_that_cannot_build_for_a_system_says_so() {
    let words = "a `aarch64-linux' is required to build `x', but I am a `x86_64-linux'";
    let result = build(asked_to_build([refused(words, 1)])).await.0.unwrap();
    assert_eq!((result.status, result.message.as_str()), (BuildStatus::MiscFailure, words));
}

#[tokio::test]
async fn after_a_failed_build_the_connection_can_go_on() {
    let script = asked_to_build([refused("build of `hello' failed", 1), Expect(vec![N(1), S(OUT)]), Say(vec![LAST, N(0)])]);
    let (_, _, mut connection) = build(script).await;
    assert!(!connection.is_valid(&path(OUT)).await.unwrap());
}

#[tokio::test]
async fn many_paths_are_fetched_in_one_request_and_what_did_not_come_is_told() {
    let paths = BTreeSet::from([path(LIBC), path(OUT)]);
    let asked = [Expect(vec![N(9), N(2), S(OUT), S(LIBC), N(0)]), Say(vec![LAST, N(1)])];
    let script = greeting(0x164, 0x164).into_iter().chain(asked).chain(asked_valid(&paths, &BTreeSet::from([path(LIBC)])));
    let (mut connection, daemon) = connection(script.collect()).await;
    let refused = connection.ensure_all(&paths).await.unwrap_err();
    let DaemonError::Daemon(why) = refused else { panic!("{refused:?}") };
    assert_eq!(why, "nobody has 1c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-libc");
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_derivation_among_many_paths_is_fetched_and_not_built() {
    let many = [Expect(vec![N(9), N(1), S(OUT), N(0)]), Say(vec![LAST, N(1)])];
    let one = [Expect(vec![N(10), S(DRV)]), Say(vec![LAST, N(1)])];
    let valid = asked_valid(&BTreeSet::from([path(OUT)]), &BTreeSet::new());
    let script = greeting(0x164, 0x164).into_iter().chain(many).chain(valid).chain(one);
    let (mut connection, daemon) = connection(script.collect()).await;
    connection.ensure_all(&BTreeSet::from([path(DRV), path(OUT)])).await.unwrap();
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn why_a_path_cannot_be_had_is_told_with_the_refusal() {
    let steps = [
        Expect(vec![N(10), S(OUT)]),
        told("substitute: \x1b[Kguix substitute: warning: 127.0.0.1: connection refused\n"),
        refused("path `x' does not exist and cannot be created", 1),
    ];
    let (mut connection, daemon) = connection(greeting(0x164, 0x164).into_iter().chain(steps).collect()).await;
    let refused = connection.ensure(&path(OUT)).await.unwrap_err();
    let DaemonError::Daemon(why) = refused else { panic!("{refused:?}") };
    assert!(why.contains("connection refused") && why.ends_with("cannot be created"), "{why}");
    drop(connection);
    daemon.await.unwrap();
}
