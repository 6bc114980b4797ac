//! What each operation says and understands, word by word, and how a connection comes out of trouble.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use drover_store::{Derivation, DrvPath, Sha256, StoreDir, StorePath};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::scripted::{config, connection, connection_of, error, greet_over, greeting};
use crate::scripted::{LAST, Step, Word, play};
use crate::{BuildMode, BuildStatus, DaemonError, Event, Job, Options, PathInfo, ProtocolVersion, StoreDaemon, Substituters};
use Step::{Expect, ReadStream, Say, Stall};
use Word::{N, Raw, S};

const HELLO: &str = "/nix/store/0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello";
const LIBC: &str = "/nix/store/1c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-libc";
const DRV: &str = "/nix/store/2c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello.drv";
/// The SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn path(absolute: &str) -> StorePath {
    StoreDir::nix().parse(absolute).unwrap()
}

fn hello_info() -> PathInfo {
    PathInfo {
        path: path(HELLO),
        deriver: Some(path(DRV)),
        nar_hash: Sha256::of(b""),
        nar_size: 5,
        references: BTreeSet::from([path(HELLO), path(LIBC)]),
        registered_unix_secs: 1234,
        ultimate: true,
        signatures: Vec::new(),
        content_address: None,
    }
}

/// All about `hello` but its name, as it stands on the wire.
fn hello_words() -> Vec<Word> {
    vec![S(DRV), S(EMPTY), N(2), S(HELLO), S(LIBC), N(1234), N(5), N(1), N(0), S("")]
}

fn then(mut words: Vec<Word>, more: impl IntoIterator<Item = Word>) -> Vec<Word> {
    words.extend(more);
    words
}

#[tokio::test]
async fn an_old_daemon_is_greeted_in_its_own_version() {
    let (connection, daemon) = connection(vec![]).await;
    assert_eq!(connection.protocol(), ProtocolVersion::OLDEST_NIX);
    assert_eq!((connection.nix_version(), connection.trusted()), ("2.99", None));
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_newer_daemon_is_greeted_in_our_newest_version_and_tells_its_trust() {
    let (connection, daemon) = connection_of(38, vec![]).await.unwrap();
    assert_eq!(connection.protocol(), ProtocolVersion::NEWEST_NIX);
    assert_eq!(connection.trusted(), Some(true));
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn something_that_is_no_daemon_is_refused() {
    let (stream, _daemon) = play(vec![Say(vec![Raw(b"HTTP/1.1 400 Bad".to_vec())]), Stall]);
    let refused = greet_over(stream, &config()).await.unwrap_err();
    assert!(matches!(refused, DaemonError::Protocol(_)), "{refused:?}");
}

#[tokio::test]
async fn validity_is_asked_with_the_absolute_path() {
    let (mut connection, daemon) = connection(vec![Expect(vec![N(1), S(HELLO)]), Say(vec![LAST, N(1)])]).await;
    assert!(connection.is_valid(&path(HELLO)).await.unwrap());
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn many_paths_are_asked_in_one_request() {
    let script = vec![Expect(vec![N(31), N(2), S(HELLO), S(LIBC), N(0)]), Say(vec![LAST, N(1), S(LIBC)])];
    let (mut connection, daemon) = connection(script).await;
    let asked = BTreeSet::from([path(HELLO), path(LIBC)]);
    assert_eq!(connection.query_valid(&asked).await.unwrap(), BTreeSet::from([path(LIBC)]));
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn what_is_known_about_a_path_is_read_whole() {
    let script = vec![
        Expect(vec![N(26), S(HELLO)]),
        Say(then(vec![LAST, N(1)], hello_words())),
        Expect(vec![N(26), S(LIBC)]),
        Say(vec![LAST, N(0)]),
    ];
    let (mut connection, daemon) = connection(script).await;
    assert_eq!(connection.path_info(&path(HELLO)).await.unwrap(), Some(hello_info()));
    assert_eq!(connection.path_info(&path(LIBC)).await.unwrap(), None);
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn ensuring_and_roots_name_their_path() {
    let script = vec![
        Expect(vec![N(10), S(HELLO)]),
        Say(vec![LAST, N(1)]),
        Expect(vec![N(11), S(HELLO)]),
        Say(vec![LAST, N(1)]),
        Expect(vec![N(12), S("/var/a link")]),
        Say(vec![LAST, N(1)]),
    ];
    let (mut connection, daemon) = connection(script).await;
    connection.ensure(&path(HELLO)).await.unwrap();
    connection.add_temp_root(&path(HELLO)).await.unwrap();
    connection.add_indirect_root(Path::new("/var/a link")).await.unwrap();
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn of_many_paths_all_are_tried() {
    let script =
        vec![Expect(vec![N(10), S(HELLO)]), Say(error("nobody has it")), Expect(vec![N(10), S(LIBC)]), Say(vec![LAST, N(1)])];
    let (mut connection, daemon) = connection(script).await;
    let refused = connection.ensure_all(&BTreeSet::from([path(HELLO), path(LIBC)])).await.unwrap_err();
    assert!(matches!(&refused, DaemonError::Daemon(why) if why == "nobody has it"), "{refused:?}");
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn without_servers_substitution_is_off() {
    let words = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 3].map(N);
    let settings = ["timeout", "0", "narinfo-cache-negative-ttl", "0", "narinfo-cache-positive-ttl", "0"].map(S);
    let request = then(then(vec![N(19)], words), settings);
    let (mut connection, daemon) = connection(vec![Expect(request), Say(vec![LAST])]).await;
    connection.set_options(&Options::default()).await.unwrap();
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_path_is_deleted_unless_something_keeps_it_alive() {
    let request = then(vec![N(20), N(3), N(1), S(HELLO), N(0), N(u64::MAX)], [N(0), N(0), N(0)]);
    let script = vec![
        Expect(request.clone()),
        Say(vec![LAST, N(1), S(HELLO), N(4096), N(0)]),
        Expect(request),
        Say(error("cannot delete path '/nix/store/x' since it is still alive")),
    ];
    let (mut connection, daemon) = connection(script).await;
    assert!(connection.delete(&path(HELLO)).await.unwrap());
    assert!(!connection.delete(&path(HELLO)).await.unwrap());
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn options_are_sent_in_the_daemons_order() {
    let words = [1, 0, 0, 0, 1, 60, 0, 0, 0, 0, 4, 1, 7].map(N);
    let forgetful = [S("narinfo-cache-negative-ttl"), S("0"), S("narinfo-cache-positive-ttl"), S("0")];
    let servers =
        [S("substituters"), S("http://a http://b"), S("trusted-public-keys"), S("k-1:AA=="), S("require-sigs"), S("true")];
    let settings = [&[S("timeout"), S("3600")][..], &forgetful, &servers, &[S("sandbox"), S("true")]].concat();
    let request = then(then(vec![N(19)], words), settings);
    let (mut connection, daemon) = connection(vec![Expect(request), Say(vec![LAST])]).await;
    let options = Options {
        substituters: Substituters::From {
            urls: vec!["http://a".into(), "http://b".into()],
            trusted_public_keys: vec!["k-1:AA==".into()],
        },
        cores: 4,
        max_silent_secs: 60,
        build_timeout_secs: 3600,
        keep_failed: true,
        overrides: vec![("sandbox".into(), "true".into())],
    };
    connection.set_options(&options).await.unwrap();
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_text_is_added_as_a_framed_stream() {
    let request = vec![N(7), S("hello"), S("text:sha256"), N(1), S(LIBC), N(0), N(5), Raw(b"howdy".to_vec()), N(0)];
    let answer = then(vec![LAST, S(HELLO)], hello_words());
    let (mut connection, daemon) = connection(vec![Expect(request), Say(answer)]).await;
    let added = connection.add_text("hello", b"howdy", &[path(LIBC)]).await.unwrap();
    assert_eq!(added, path(HELLO));
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_nar_is_added_with_all_that_is_known_about_it() {
    let head = then(then(vec![N(39), S(HELLO)], hello_words()), [N(0), N(1)]);
    let request = then(head, [N(5), Raw(b"a nar".to_vec()), N(0)]);
    let (mut connection, daemon) = connection(vec![Expect(request), Say(vec![LAST])]).await;
    connection.add_nar(&hello_info(), &b"a nar"[..], false).await.unwrap();
    drop(connection);
    daemon.await.unwrap();
}

/// Not a whole nar, but one that begins like one.
fn short_nar() -> Vec<u8> {
    b"\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0\x01\0\0\0\0\0\0\0(\0\0\0\0\0\0\0".to_vec()
}

#[tokio::test]
async fn a_nar_is_read_to_its_size_and_the_next_answer_follows() {
    let nar = short_nar();
    let script = vec![
        Expect(vec![N(38), S(HELLO)]),
        Say(vec![LAST, Raw(nar.clone())]),
        Expect(vec![N(1), S(LIBC)]),
        Say(vec![LAST, N(0)]),
    ];
    let (mut connection, daemon) = connection(script).await;
    let mut received = Vec::new();
    connection.nar(&path(HELLO), nar.len() as u64, &mut received).await.unwrap();
    assert_eq!(received, nar);
    assert!(!connection.is_valid(&path(LIBC)).await.unwrap());
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn an_error_in_the_place_of_a_nar_is_not_taken_for_its_bytes() {
    let script = vec![Expect(vec![N(38), S(HELLO)]), Say(then(vec![LAST, S("nix-archive-1")], error("no such file")))];
    let (mut connection, daemon) = connection(script).await;
    let mut received = Vec::new();
    let refused = connection.nar(&path(HELLO), 400, &mut received).await.unwrap_err();
    assert!(matches!(&refused, DaemonError::Daemon(why) if why == "no such file"), "{refused:?}");
    assert!(received.is_empty() && !connection.is_usable());
    drop(connection);
    daemon.await.unwrap();
}

/// A derivation with two outputs and one source.
fn two_outputs() -> Derivation {
    let aterm = format!(
        r#"Derive([("doc","{LIBC}","",""),("out","{HELLO}","","")],[],["{LIBC}"],"x86_64-linux","/bin/sh",["-c","true"],[("doc","{LIBC}"),("out","{HELLO}")])"#
    );
    Derivation::parse(&StoreDir::nix(), aterm.as_bytes()).unwrap()
}

/// What is sent of [`two_outputs`], built with `hello` as its input.
fn two_outputs_words() -> Vec<Word> {
    let outputs = [N(2), S("doc"), S(LIBC), S(""), S(""), S("out"), S(HELLO), S(""), S("")];
    let inputs = [N(2), S(HELLO), S(LIBC)];
    let builder = [S("x86_64-linux"), S("/bin/sh"), N(2), S("-c"), S("true")];
    let env = [N(2), S("doc"), S(LIBC), S("out"), S(HELLO)];
    [&[N(36), S(DRV)][..], &outputs, &inputs, &builder, &env, &[N(0)]].concat()
}

fn drv() -> DrvPath {
    path(DRV).try_into().unwrap()
}

#[tokio::test]
async fn a_build_sends_the_derivation_and_tells_its_log() {
    let line = [N(0x5253_4c54), N(1), N(101), N(1), N(1), S("checking")];
    let result = [LAST, N(0), S(""), N(1), N(0), N(10), N(12), N(1), S("sha256:00!out"), S("{}")];
    let script = vec![Expect(two_outputs_words()), Say(line.to_vec()), Say(result.to_vec())];
    let (mut connection, daemon) = connection(script).await;
    let (derivation, mut events) = (two_outputs(), Vec::new());
    let drv = drv();
    let job = Job::new(&drv, &derivation, [path(HELLO)]);
    let built = connection.build(&job, BuildMode::Normal, &mut |event| events.push(event)).await.unwrap();
    assert_eq!(events, [Event::Line("checking".into())]);
    assert_eq!((built.status, built.started_unix_secs, built.stopped_unix_secs), (BuildStatus::Built, 10, 12));
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_newer_daemon_tells_how_much_processor_a_build_took() {
    let result = [LAST, N(3), S("\x1b[31mfailed\x1b[0m"), N(0), N(0), N(0), N(0), N(1), N(700), N(0), N(0)];
    let script = vec![Expect(two_outputs_words()), Say(result.to_vec())];
    let (mut connection, daemon) = connection_of(37, script).await.unwrap();
    let derivation = two_outputs();
    let (drv, mut ignore) = (drv(), |_| {});
    let job = Job::new(&drv, &derivation, [path(HELLO)]);
    let failed = connection.build(&job, BuildMode::Normal, &mut ignore).await.unwrap();
    assert_eq!((failed.status, failed.message.as_str()), (BuildStatus::PermanentFailure, "failed"));
    assert_eq!((failed.cpu_user_micros, failed.cpu_system_micros), (Some(700), None));
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_fixed_output_is_sent_with_its_method_and_its_hash() {
    let aterm =
        format!(r#"Derive([("out","{HELLO}","r:sha256","{EMPTY}")],[],[],"builtin","builtin:fetchurl",[],[("out","{HELLO}")])"#);
    let derivation = Derivation::parse(&StoreDir::nix(), aterm.as_bytes()).unwrap();
    let output = [N(1), S("out"), S(HELLO), S("r:sha256"), S(EMPTY)];
    let rest = [N(0), S("builtin"), S("builtin:fetchurl"), N(0), N(1), S("out"), S(HELLO), N(2)];
    let request = [&[N(36), S(DRV)][..], &output, &rest].concat();
    let result = vec![LAST, N(5), S("hash mismatch"), N(0), N(0), N(0), N(0), N(0)];
    let (mut connection, daemon) = connection(vec![Expect(request), Say(result)]).await;
    let (drv, mut ignore) = (drv(), |_| {});
    let job = Job::new(&drv, &derivation, []);
    let rejected = connection.build(&job, BuildMode::Check, &mut ignore).await.unwrap();
    assert_eq!(rejected.status, BuildStatus::OutputRejected);
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn after_a_refusal_the_connection_can_go_on() {
    let script =
        vec![Expect(vec![N(10), S(HELLO)]), Say(error("path is not valid")), Expect(vec![N(1), S(HELLO)]), Say(vec![LAST, N(0)])];
    let (mut connection, daemon) = connection(script).await;
    let refused = connection.ensure(&path(HELLO)).await.unwrap_err();
    assert!(matches!(&refused, DaemonError::Daemon(why) if why == "path is not valid"), "{refused:?}");
    assert!(connection.is_usable());
    assert!(!connection.is_valid(&path(HELLO)).await.unwrap());
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn after_the_daemon_has_gone_the_connection_is_given_up() {
    let (mut connection, daemon) = connection(vec![Expect(vec![N(1), S(HELLO)])]).await;
    for _ in 0..2 {
        let lost = connection.is_valid(&path(HELLO)).await.unwrap_err();
        assert!(matches!(lost, DaemonError::Lost(_)), "{lost:?}");
        assert!(!connection.is_usable());
    }
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn after_an_answer_that_makes_no_sense_the_connection_is_given_up() {
    let script = vec![Expect(vec![N(31), N(0), N(0)]), Say(vec![LAST, N(1), S("/etc/passwd")]), Stall];
    let (mut connection, _daemon) = connection(script).await;
    let nonsense = connection.query_valid(&BTreeSet::new()).await.unwrap_err();
    assert!(matches!(nonsense, DaemonError::Protocol(_)), "{nonsense:?}");
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn an_operation_that_is_dropped_half_way_leaves_the_connection_unusable() {
    let (mut connection, _daemon) = connection(vec![Stall]).await;
    let dropped = tokio::time::timeout(Duration::from_millis(20), connection.ensure(&path(HELLO))).await;
    assert!(dropped.is_err());
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_runs_into_the_timeout() {
    let (stream, _daemon) = play(greeting(34).into_iter().chain([Stall]).collect());
    let mut patience = config();
    patience.reply_timeout = Duration::from_millis(20);
    let mut connection = greet_over(stream, &patience).await.unwrap();
    let late = connection.is_valid(&path(HELLO)).await.unwrap_err();
    assert!(matches!(late, DaemonError::Timeout { .. }), "{late:?}");
    assert!(!connection.is_usable());
}

/// More than both buffers of a pair of sockets hold.
const FAR_TOO_MUCH_BYTES: usize = 8 << 20;

#[tokio::test]
async fn a_daemon_that_talks_much_before_it_reads_a_stream_does_not_block_it() {
    let head = then(then(vec![N(39), S(HELLO)], hello_words()), [N(0), N(1)]);
    let chatter = (0..FAR_TOO_MUCH_BYTES / 32).flat_map(|_| [N(0x6f6c_6d67), S("working hard")]).collect();
    let script = vec![Expect(head), Say(chatter), ReadStream { bytes: FAR_TOO_MUCH_BYTES }, Say(vec![LAST])];
    let (mut connection, daemon) = connection(script).await;
    let nar = tokio::io::repeat(7).take(FAR_TOO_MUCH_BYTES as u64);
    let info = hello_info();
    let sending = connection.add_nar(&info, nar, false);
    tokio::time::timeout(Duration::from_secs(20), sending).await.expect("both sides wait for each other").unwrap();
    drop(connection);
    daemon.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_the_daemon_refuses_is_not_sent_to_its_end() {
    let head = then(then(vec![N(39), S(HELLO)], hello_words()), [N(0), N(0)]);
    let (stream, _daemon) = play(greeting(34).into_iter().chain([Expect(head), Say(error("no signature")), Stall]).collect());
    let mut connection = greet_over(stream, &config()).await.unwrap();
    // A source that says one word and then is silent for ever.
    let (mut pen, endless) = tokio::io::duplex(64);
    pen.write_all(b"word").await.unwrap();
    let refused = connection.add_nar(&hello_info(), endless, true).await.unwrap_err();
    assert!(matches!(refused, DaemonError::Daemon(_)), "{refused:?}");
    assert!(connection.is_usable());
}
