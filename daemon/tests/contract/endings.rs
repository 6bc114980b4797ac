//! How builds end, well and badly.

use std::time::{Duration, Instant};

use drover_daemon::{BuildMode, BuildStatus, DaemonError, Options, StoreDaemon};
use drover_store::{Digest, FixedHash, HashAlgo, Sha256, StorePath};

use crate::support::{Kind, Lab, Plan};
use crate::watched::{build, watch};

pub async fn success(lab: &Lab) {
    let mut connection = lab.connect().await;
    let plan = Plan::new("good", "echo building; echo content > $out");
    let (made, first) = build(lab, &mut connection, &plan).await;
    first.ended(BuildStatus::Built);
    assert_eq!(first.log(), ["building"]);
    assert_eq!(std::fs::read(lab.file(made.out())).unwrap(), b"content\n");
    let info = connection.path_info(made.out()).await.unwrap().expect("what was built is valid");
    assert_eq!((info.deriver.as_ref(), info.references.len()), (Some(made.drv.as_ref()), 0));
    let again = watch(&mut connection, &made, &[], BuildMode::Normal).await;
    again.ended(BuildStatus::AlreadyValid);
    assert!(again.lines.is_empty(), "{:?}", again.log());
}

pub async fn several_outputs(lab: &Lab) {
    let mut connection = lab.connect().await;
    let plan = Plan::new("two", "echo a > $out; mkdir $doc; echo $out > $doc/refers").outputs(&["out", "doc"]);
    let (made, watched) = build(lab, &mut connection, &plan).await;
    watched.ended(BuildStatus::Built);
    assert!(made.output("doc").as_str().ends_with("-two-doc"));
    let doc = connection.path_info(made.output("doc")).await.unwrap().expect("both outputs are valid");
    assert!(doc.references.contains(made.out()), "{:?}", doc.references);
    assert!(connection.is_valid(made.out()).await.unwrap());
}

pub async fn live_log(lab: &Lab) {
    let mut connection = lab.connect().await;
    let (_, watched) = build(lab, &mut connection, &Plan::new("slow", "echo one; sleep 1; echo two >&2; echo > $out")).await;
    watched.ended(BuildStatus::Built);
    assert_eq!(watched.log(), ["one", "two"]);
    let between = watched.lines[1].1 - watched.lines[0].1;
    assert!(between > Duration::from_millis(500), "both lines came at once");
}

pub async fn failing_builder(lab: &Lab) {
    let mut connection = lab.connect().await;
    let (made, watched) = build(lab, &mut connection, &Plan::new("fails", "echo about to fail; exit 3")).await;
    let message = watched.ended(BuildStatus::PermanentFailure);
    assert!(message.contains("exit code 3"), "{message}");
    assert!(!message.contains('\x1b'), "{message:?}");
    assert_eq!(watched.log(), ["about to fail"]);
    assert!(!connection.is_valid(made.out()).await.unwrap());
}

pub async fn no_output(lab: &Lab) {
    let mut connection = lab.connect().await;
    let (made, watched) = build(lab, &mut connection, &Plan::new("nothing", "echo done")).await;
    let (status, message) = watched.ending();
    assert!(matches!(status, BuildStatus::OutputRejected | BuildStatus::PermanentFailure), "{status}: {message}");
    assert!(message.contains("failed to produce output") && message.contains(made.out().as_str()), "{message}");
}

pub async fn hash_mismatch(lab: &Lab) {
    let mut connection = lab.connect().await;
    let expected = FixedHash { recursive: false, digest: Sha256::of(b"as promised").into() };
    let plan = Plan::new("fixed", "echo otherwise > $out").fixed(expected);
    let (made, watched) = build(lab, &mut connection, &plan).await;
    let message = watched.ended(BuildStatus::OutputRejected);
    assert!(message.contains("hash mismatch"), "{message}");
    for hash in [Sha256::of(b"as promised"), Sha256::of(b"otherwise\n")] {
        assert!(names(message, &hash), "{hash:?} is not in: {message}");
    }
    assert!(!connection.is_valid(made.out()).await.unwrap());
}

/// Whether a message names a hash, in whichever way it is written.
fn names(message: &str, hash: &Sha256) -> bool {
    let words = message.split(|c: char| c.is_whitespace() || c == ',');
    let mut hashes = words.filter_map(|word| word.strip_prefix("sha256").map(|hash| &hash[1..]));
    hashes.any(|written| Digest::parse(HashAlgo::Sha256, written) == Ok((*hash).into()))
}

pub async fn timeout(lab: &Lab) {
    let mut connection = lab.connect_with(&Options { build_timeout_secs: 1, ..Options::default() }).await;
    let start = Instant::now();
    let talkative = "while true; do echo still here; sleep 0.2; done";
    let (_, watched) = build(lab, &mut connection, &Plan::new("endless", talkative)).await;
    let message = watched.ended(BuildStatus::TimedOut);
    assert!(message.contains("timed out after 1 seconds") && !message.contains("silen"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

pub async fn silence(lab: &Lab) {
    let mut connection = lab.connect_with(&Options { max_silent_secs: 1, ..Options::default() }).await;
    let (_, watched) = build(lab, &mut connection, &Plan::new("silent", "echo last word; sleep 1000")).await;
    let message = watched.ended(BuildStatus::TimedOut);
    assert!(message.contains("timed out after 1 seconds of silence"), "{message}");
    assert_eq!(watched.log(), ["last word"]);
}

pub async fn same_in_check_mode(lab: &Lab) {
    let mut connection = lab.connect().await;
    let (made, first) = build(lab, &mut connection, &Plan::new("same", "echo once more; echo same > $out")).await;
    first.ended(BuildStatus::Built);
    let check = watch(&mut connection, &made, &[], BuildMode::Check).await;
    check.ended(BuildStatus::Built);
    assert_eq!(check.log(), ["once more"], "a check builds again");
}

pub async fn not_deterministic_in_check_mode(lab: &Lab) {
    let mut connection = lab.connect_with(&Options { keep_failed: true, ..Options::default() }).await;
    let plan = Plan::new("random", "head -c 16 /dev/urandom > $out");
    let (made, first) = build(lab, &mut connection, &plan).await;
    first.ended(BuildStatus::Built);
    let before = std::fs::read(lab.file(made.out())).unwrap();
    let check = watch(&mut connection, &made, &[], BuildMode::Check).await;
    check.ended(BuildStatus::NotDeterministic);
    assert_eq!(std::fs::read(lab.file(made.out())).unwrap(), before, "the first output is kept");
    assert!(connection.is_valid(made.out()).await.unwrap());
    // What came out now lies beside it, for whoever wants to compare.
    let end = if lab.kind() == Kind::Guix { "-check" } else { ".check" };
    let kept: StorePath = format!("{}{end}", made.out()).parse().unwrap();
    assert_eq!(std::fs::read(lab.file(&kept)).unwrap().len(), 16);
    drop(connection); // of Nix, it would keep what it built from deletion
    until_deleted(lab, &kept).await;
    assert!(!lab.file(&kept).exists());
}

async fn until_deleted(lab: &Lab, path: &StorePath) {
    let mut connection = lab.connect().await;
    for _ in 0..100 {
        if connection.delete(path).await.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} cannot be deleted");
}

pub async fn missing_input(lab: &Lab) {
    let mut connection = lab.connect().await;
    let input = Plan::new("input", "echo > $out").make(lab);
    input.add(&mut connection).await;
    let needs = Plan::new("needs", "cat $input > $out").input("input", &input).make(lab);
    needs.add(&mut connection).await;
    let watched = watch(&mut connection, &needs, &[&input], BuildMode::Normal).await;
    match &watched.result {
        Ok(result) => assert_eq!(result.status, BuildStatus::MiscFailure, "{}", result.message),
        Err(error) => assert!(matches!(error, DaemonError::Daemon(_)), "{error:?}"),
    }
    assert!(!connection.is_valid(input.out()).await.unwrap(), "the daemon built an input by itself");
    watch(&mut connection, &input, &[], BuildMode::Normal).await.ended(BuildStatus::Built);
    watch(&mut connection, &needs, &[&input], BuildMode::Normal).await.ended(BuildStatus::Built);
}

pub async fn sandbox(lab: &Lab) {
    let mut connection = lab.connect().await;
    let hidden = lab.scratch().join("hidden");
    std::fs::write(&hidden, "secret").unwrap();
    let script = "grep : /proc/net/dev; echo pid $$; cat \"$hidden\" 2>&1; echo > $out";
    let plan = Plan::new("curious", script).variable("hidden", hidden.to_str().unwrap());
    let (_, watched) = build(lab, &mut connection, &plan).await;
    watched.ended(BuildStatus::Built);
    let log = watched.log().join("\n");
    let interfaces: Vec<&str> = log.lines().filter(|line| line.contains("lo:") || line.contains("eth")).collect();
    assert!(interfaces.len() == 1 && interfaces[0].contains("lo:"), "the builder sees the network: {log}");
    assert!(!log.contains("secret"), "the builder sees files of this machine: {log}");
}
