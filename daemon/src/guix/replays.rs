//! What Guix's own client said we say byte by byte, and of what the real daemon answered we make the right thing.

use std::collections::BTreeSet;

use drover_store::{Derivation, DrvPath, StoreDir, StorePath};

use super::course::Course;
use super::recorded::{Exchange, Session};
use super::scripted::asked_valid;
use crate::wire::{Frame, Reader, Told, read_frame};
use crate::{
    BuildMode, BuildResult, BuildStatus, DaemonError, Dialect, Event, Job, Options, ProtocolVersion, StoreDaemon, Substituters,
};

fn path(absolute: &str) -> StorePath {
    StoreDir::guix().parse(absolute).unwrap()
}

const DEMO: &str = "/gnu/store/ch3s2yggc834xm8ghv32yxzyb1lpcn82-pubdemo-1.0";
const NOTHING: &str = "/gnu/store/00000000000000000000000000000000-nothing";

/// Builds as recorded in one exchange, with options as they were then, and tells what was heard.
async fn build(
    session: &Session,
    (drv, derivation): &(DrvPath, Derivation),
    exchange: &Exchange,
    mode: BuildMode,
    missing_after: &BTreeSet<StorePath>,
) -> (Result<BuildResult, DaemonError>, Vec<Event>) {
    let job = Job::new(drv, derivation, []);
    let inputs = Some(asked_valid(job.inputs(), &BTreeSet::new())).filter(|_| !job.inputs().is_empty());
    let script = inputs.into_iter().flatten().chain(exchange.steps()).chain(asked_valid(&job.outputs(), missing_after));
    let (mut connection, daemon) = session.connect(script).await;
    connection.options = Some(Options { build_timeout_secs: 1, ..Options::default() });
    let mut events = Vec::new();
    let result = connection.build(&job, mode, &mut |event| events.push(event)).await;
    drop(connection);
    daemon.abort(); // a failed build does not ask for its outputs
    (result, events)
}

/// What a build came to that is recorded as the `nth` of its session.
async fn came_to(name: &str, drv: &str, nth: usize, mode: BuildMode) -> Option<(BuildResult, Vec<Event>)> {
    let session = Session::load(name)?;
    let drv = session.derivation(drv).await;
    let (result, events) = build(&session, &drv, &session.of(9)[nth], mode, &BTreeSet::new()).await;
    Some((result.unwrap(), events))
}

#[tokio::test]
async fn a_daemon_is_greeted_as_guix_greets_it() {
    let Some(session) = Session::load("07-build-success-multiplexed") else { return };
    let (connection, daemon) = session.connect([]).await;
    assert_eq!((connection.protocol(), connection.trusted()), (ProtocolVersion::NEWEST_GUIX, None));
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn options_are_said_as_guix_says_them_but_for_three() {
    let Some(session) = Session::load("01-handshake-set-options") else { return };
    let mut recorded = session.of(19).remove(0);
    // Guix's own client does not keep going, asks for words, and lets the daemon offload.
    let flags = |keep_going, verbosity, offload| [1u64, keep_going, 0, verbosity, offload].map(u64::to_le_bytes).concat();
    assert_eq!(recorded.request[8..48], flags(0, 1, 1));
    recorded.request[8..48].copy_from_slice(&flags(1, 0, 0));
    let (mut connection, daemon) = session.connect(recorded.steps()).await;
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let urls = vec!["http://127.0.0.1:8181".to_owned(), "http://127.0.0.1:8182".to_owned()];
    let options = Options {
        substituters: Substituters::From { urls, trusted_public_keys: Vec::new() },
        cores: 2,
        max_silent_secs: 600,
        build_timeout_secs: 3600,
        keep_failed: true,
        overrides: vec![
            set("build-repeat", "1"),
            set("user-name", "root"),
            set("terminal-columns", "80"),
            set("locale", "C.UTF-8"),
        ],
    };
    connection.set_options(&options).await.unwrap();
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn validity_is_asked_as_guix_asks() {
    let Some(session) = Session::load("02-valid-path") else { return };
    let asked = session.of(1);
    let (mut connection, daemon) = session.connect([&asked[0], &asked[1]].into_iter().flat_map(Exchange::steps)).await;
    assert!(connection.is_valid(&path(DEMO)).await.unwrap());
    assert!(!connection.is_valid(&path(NOTHING)).await.unwrap());
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn what_is_known_about_a_path_is_understood() {
    let Some(session) = Session::load("03-query-path-info") else { return };
    let asked = session.of(26);
    let (mut connection, daemon) = session.connect(asked.iter().flat_map(Exchange::steps)).await;
    let demo = connection.path_info(&path(DEMO)).await.unwrap().unwrap();
    assert_eq!(demo.deriver, Some(path("/gnu/store/cdj3z98zjqvh1fpazdjb5rq404qckg8c-pubdemo-1.0.drv")));
    assert_eq!(demo.nar_hash.to_hex(), "ea0aedf5bf19b06a8dd7f37c7942acf3e6982677ea1939859c0bbb04a61aaf0e");
    assert_eq!((demo.nar_size, demo.registered_unix_secs), (369_032, 1_795_492_699));
    assert!(demo.references.len() == 3 && demo.references.contains(&demo.path));
    let drv = path("/gnu/store/2nfg943asrl9dv64zrr1a4kpb25mfafd-hello-2.12.2.drv");
    let drv = connection.path_info(&drv).await.unwrap().unwrap();
    assert_eq!((drv.deriver, drv.references.len(), drv.nar_size), (None, 25, 2432));
    assert_eq!(connection.path_info(&path(NOTHING)).await.unwrap(), None);
    assert!(connection.is_usable());
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn texts_come_into_the_store_as_guix_brings_them() {
    for name in ["04-add-text-to-store", "07-build-success-multiplexed", "08-build-failure"] {
        let Some(session) = Session::load(name) else { continue };
        let texts = session.texts().await;
        let (mut connection, daemon) = session.connect(texts.iter().flat_map(|(_, exchange)| exchange.steps())).await;
        for (text, _) in texts {
            match connection.add_text(&text.name, &text.contents, &text.references).await {
                Ok(path) => assert_eq!(path.name(), text.name),
                Err(DaemonError::Daemon(why)) => assert_eq!(why, "invalid name: `.bad name' (can't begin with dot)"),
                Err(other) => panic!("{other:?}"),
            }
        }
        drop(connection);
        daemon.await.unwrap();
    }
}

#[tokio::test]
async fn a_path_is_fetched_as_guix_fetches_it() {
    let Some(session) = Session::load("09c-ensure-path-no-substitute") else { return };
    let (mut connection, daemon) = session.connect(session.of(10).iter().flat_map(Exchange::steps)).await;
    let refused = connection.ensure(&path(NOTHING)).await.unwrap_err();
    let DaemonError::Daemon(why) = refused else { panic!("{refused:?}") };
    assert!(why.ends_with("does not exist and cannot be created"), "{why}");
    connection.ensure(&path(DEMO)).await.unwrap();
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_path_is_deleted_as_guix_deletes_it() {
    const OFFSETS: &str = "C>S @0x0\nS>C @0x0\nC>S @0x8\nS>C @0x10\nC>S @0x20\nS>C @0x18\nC>S @0xa8\nS>C @0x1c0";
    let Some(session) = Session::load_cut("12b-delete-specific.1", OFFSETS) else { return };
    let (mut connection, daemon) = session.connect(session.of(20).iter().flat_map(Exchange::steps)).await;
    let garbage = path("/gnu/store/1mchm5bzxhhfghqbbz5wkszxvfbiiv1v-garbage-1795493660");
    assert!(connection.delete(&garbage).await.unwrap());
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_build_is_built_and_its_log_told_line_by_line() {
    let Some(session) = Session::load("07-build-success-multiplexed") else { return };
    let recorded = session.of(9).remove(0);
    let (drv, derivation) = session.derivation("c-").await;
    let inputs: Vec<StorePath> = [session.derivation("a-").await, session.derivation("b-").await]
        .iter()
        .map(|(_, input)| input.outputs.values().next().unwrap().path.clone())
        .collect();
    let job = Job::new(&drv, &derivation, inputs);
    // As it was when its inputs had been built: from the frame of its own start on.
    let start = recorded.answer.windows(15).rposition(|window| window == b"@ build-started").unwrap() - 16;
    let recorded = Exchange { answer: recorded.answer[start..].to_vec(), ..recorded };
    let script = asked_valid(job.inputs(), &BTreeSet::new()).into_iter().chain(recorded.steps());
    let script = script.chain(asked_valid(&job.outputs(), &BTreeSet::new()));
    let (mut connection, daemon) = session.connect(script).await;
    connection.options = Some(Options::default());
    let mut events = Vec::new();
    let built = connection.build(&job, BuildMode::Normal, &mut |event| events.push(event)).await.unwrap();
    assert_eq!((built.status, built.message.as_str()), (BuildStatus::Built, ""));
    assert_eq!(events, [Event::Line("c done".into())]);
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn of_builds_at_once_only_our_own_log_is_heard() {
    let Some(session) = Session::load("07-build-success-multiplexed") else { return };
    for (name, lines) in [("a-", ["a 0", "a 1", "a 2"].as_slice()), ("b-", &["b 0", "b 1", "b 2"]), ("c-", &["c done"])] {
        let (drv, _) = session.derivation(name).await;
        let mut course = Course::of(StoreDir::guix().path(&drv));
        let mut events = Vec::new();
        let recorded = session.of(9).remove(0);
        let mut input = Reader::new(&recorded.answer[..]);
        while let Frame::Told(Told::Text(text)) = read_frame(&mut input, Dialect::Guix).await.unwrap() {
            course.hear(&text, &mut |event| events.push(event));
        }
        assert_eq!(events, lines.iter().map(|line| Event::Line((*line).into())).collect::<Vec<_>>());
        assert!(course.pid.is_some());
    }
}

#[tokio::test]
async fn a_daemon_that_begins_to_build_an_input_is_left() {
    let Some(session) = Session::load("07-build-success-multiplexed") else { return };
    let (drv, derivation) = session.derivation("c-").await;
    let job = Job::new(&drv, &derivation, []);
    let script = asked_valid(job.inputs(), &BTreeSet::new()).into_iter().chain(session.of(9)[0].steps());
    let (mut connection, _daemon) = session.connect(script).await;
    connection.options = Some(Options::default());
    let left = connection.build(&job, BuildMode::Normal, &mut |_| {}).await.unwrap();
    assert_eq!(left.status, BuildStatus::MiscFailure);
    assert!(left.message.contains("nk2pl5854kyxq73zw4n4sw4cgiph3cc1-a-1795493996.drv"), "{}", left.message);
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn a_builder_that_fails_is_told_with_its_exit_code() {
    let Some((failed, events)) = came_to("08-build-failure", "bad-", 0, BuildMode::Normal).await else { return };
    assert_eq!(failed.status, BuildStatus::PermanentFailure);
    let drv = "/gnu/store/hmzr3f9yr8yrbf78pnpb7i0afjsy76jy-bad-1795493999.drv";
    assert_eq!(failed.message, format!("builder for `{drv}' failed with exit code 3"));
    assert_eq!(events[0], Event::Message("about to fail".into())); // this session did not mark the log
}

#[tokio::test]
async fn an_output_that_is_not_there_is_the_outputs_fault() {
    for (drv, nth) in [("no-output", 0), ("signal", 2)] {
        let Some((failed, _)) = came_to("08c-build-errors", drv, nth, BuildMode::Normal).await else { return };
        assert_eq!(failed.status, BuildStatus::OutputRejected);
        assert!(failed.message.contains("failed to produce output path"), "{}", failed.message);
    }
}

#[tokio::test]
async fn a_hash_that_does_not_match_is_told_with_both() {
    let Some((failed, _)) = came_to("08c-build-errors", "fixed", 1, BuildMode::Normal).await else { return };
    assert_eq!(failed.status, BuildStatus::OutputRejected);
    assert_eq!(
        failed.message,
        "hash mismatch in the fixed output of hm3wdvdcp27p9q6arq6a6xlaxjlvsqwd-fixed-1795494003.drv: \
         expected sha256:04wpznycpjk29k2wxsm0bmsz9h9kzalg9v72v2h4vvwpnc17ijam, \
         got sha256:0v23kdddpr1d66231nvfrl1ka81i7siwcyxywn0c5cc5xjgzhgal"
    );
}

#[tokio::test]
async fn slowness_and_silence_are_told_apart() {
    let Some((slow, _)) = came_to("08c-build-errors", "slow", 3, BuildMode::Normal).await else { return };
    assert_eq!(slow.status, BuildStatus::TimedOut);
    assert!(slow.message.ends_with("timed out after 1 seconds"), "{}", slow.message);
    let Some((silent, _)) = came_to("08c-build-errors", "slow", 4, BuildMode::Normal).await else { return };
    assert_eq!(silent.status, BuildStatus::TimedOut);
    assert!(silent.message.ends_with("timed out after 1 seconds of silence"), "{}", silent.message);
}

#[tokio::test]
async fn a_drv_that_is_missing_is_not_the_builders_failure() {
    let Some(session) = Session::load("08c-build-errors") else { return };
    let (_, derivation) = session.derivation("slow").await;
    let drv = path("/gnu/store/00000000000000000000000000000000-nothing.drv").try_into().unwrap();
    let (failed, _) = build(&session, &(drv, derivation), &session.of(9)[5], BuildMode::Normal, &BTreeSet::new()).await;
    let failed = failed.unwrap();
    assert_eq!(failed.status, BuildStatus::MiscFailure);
    assert!(failed.message.starts_with("cannot build missing derivation"), "{}", failed.message);
}

/// So it is with a path that nobody substitutes, and with one whose signer is unknown.
#[tokio::test]
async fn a_success_that_left_nothing_is_an_error() {
    let Some(session) = Session::load("08c-build-errors") else { return };
    let slow = session.derivation("slow").await;
    let outputs = Job::new(&slow.0, &slow.1, []).outputs();
    let unknown_key = Session::load("09d-unauthorized-key").map(|session| session.of(9).remove(0));
    for silent in [session.of(9).remove(6)].into_iter().chain(unknown_key) {
        let of_slow = Exchange { answer: silent.answer, ..session.of(9).remove(4) };
        let (outcome, _) = build(&session, &slow, &of_slow, BuildMode::Normal, &outputs).await;
        assert!(matches!(outcome, Err(DaemonError::Daemon(_))), "{outcome:?}");
        let (outcome, _) = build(&session, &slow, &of_slow, BuildMode::Normal, &BTreeSet::new()).await;
        assert_eq!(outcome.unwrap().status, BuildStatus::AlreadyValid);
    }
}

#[tokio::test]
async fn a_check_tells_whether_it_came_out_the_same() {
    let name = "08d-nondeterministic-check";
    let Some((built, _)) = came_to(name, "nondet", 0, BuildMode::Normal).await else { return };
    assert_eq!(built.status, BuildStatus::Built);
    let Some((differs, _)) = came_to(name, "nondet", 1, BuildMode::Check).await else { return };
    assert_eq!(differs.status, BuildStatus::NotDeterministic);
    assert!(differs.message.contains("n30x8lq7hqagb6046wjs7vixxgf8z89f-nondet-1795494008' differs"), "{}", differs.message);
    let Some((same, _)) = came_to(name, "det", 3, BuildMode::Check).await else { return };
    assert_eq!(same.status, BuildStatus::Built);
}

#[tokio::test]
async fn a_download_that_writes_single_characters_is_told_in_lines() {
    let Some((failed, events)) = came_to("14-builtin-download-offline", "dl-", 0, BuildMode::Normal).await else { return };
    assert_eq!(failed.status, BuildStatus::TransientFailure);
    let said = |text: &str| events.contains(&Event::Message(text.into()));
    assert!(said("Starting download of /gnu/store/ifgk3cimslbwz902ps5mk9h0myzz8mnr-dl-1795493665"), "{events:?}");
    assert!(said("From http://127.0.0.1:1/none.tar.gz..."), "{events:?}");
    let Some((built, _)) = came_to("14-builtin-download-offline", "dlok-", 1, BuildMode::Normal).await else { return };
    assert_eq!(built.status, BuildStatus::Built);
}

#[tokio::test]
async fn a_dependency_that_fails_is_not_ours() {
    let Some(session) = Session::load("08-build-failure") else { return };
    let dep = session.derivation("dep").await;
    let (outcome, _) = build(&session, &dep, &session.of(9)[1], BuildMode::Normal, &BTreeSet::new()).await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.status, BuildStatus::MiscFailure);
    assert!(outcome.message.contains("began to build"), "{}", outcome.message);
}
