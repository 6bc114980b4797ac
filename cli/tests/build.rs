//! `drover build` against a real nats-server and a scheduler that says what the test wants: what is sent, what is told,
//! and the exit code.

#![allow(clippy::unwrap_used)] // Also in what the tests share.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drover_bucket::{Bucket, Key};
use drover_messages::query::{
    AskMissing, AskSubmission, BuildAnswer, BuildSummary, Missing, StateName, SubmissionAnswer, SubmissionStatus,
};
use drover_messages::request::{Mode, Submit};
use drover_messages::{ClientId, Timestamp};
use drover_nats::permissions::Who;
use drover_nats::service::{About, Asked, Service};
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Filter, Incoming, Query, Reread, Subject, reconcile, streams};
use drover_store::{Derivation, DrvPath, Output as DrvOutput, Pack, StoreDir, StorePath};

/// What the scheduler answers to a question about the submission, given the requests that came so far.
type Answers = Arc<dyn Fn(&[Submit]) -> SubmissionAnswer + Send + Sync>;

struct Ground {
    dir: tempfile::TempDir,
    server: NatsServer,
    client: ClientId,
    drv: DrvPath,
    bus: Bus,
    submitted: Arc<Mutex<Vec<Submit>>>,
}

impl Ground {
    async fn new() -> Option<Self> {
        let mut server = NatsServer::start()?;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        let client = ClientId::new();
        let login = server.login(Who::Client(client)).await;
        let mut password = std::fs::OpenOptions::new();
        let mut file = password.create(true).write(true).truncate(true).mode(0o600).open(dir.path().join("password")).unwrap();
        std::io::Write::write_all(&mut file, login.password.as_bytes()).unwrap();
        let bus = Bus::connect(&server.login(Who::Scheduler).await).await.unwrap();
        reconcile(&bus, &streams::all(&[]), Reread::Whole).await.unwrap();
        let drv = write_drv(&store_dir(&dir), "hello");
        let ground = Self { dir, server, client, drv, bus, submitted: Arc::default() };
        ground.take_requests().await;
        Some(ground)
    }

    async fn take_requests(&self) {
        let mut requests = self.bus.subscribe(&Filter::Requests).await.unwrap();
        let submitted = self.submitted.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                submitted.lock().unwrap().push(request.decode().unwrap());
            }
        });
    }

    /// Starts a scheduler that lacks everything.
    async fn scheduler(&self, answers: impl Fn(&[Submit]) -> SubmissionAnswer + Send + Sync + 'static) {
        let about = About { name: "drover-scheduler", version: "0.0.0", description: "a stand-in" };
        let asked = [Asked { name: "query", filter: Filter::Queries, description: "all questions" }];
        let mut service = Service::start(&self.bus, &about, &asked).await.unwrap();
        let (answers, submitted): (Answers, _) = (Arc::new(answers), self.submitted.clone());
        tokio::spawn(async move {
            while let Some(question) = service.next().await {
                answer(&question, &answers, &submitted).await;
            }
        });
    }

    async fn drover(&self, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_drover"));
        command.args(args).args(["--nats-url", &self.server.url(), "--login", &self.client.to_string()]);
        command.arg("--login-password-file").arg(self.dir.path().join("password")).args(["--bucket", &self.bucket_url()]);
        command.env_remove("DROVER_FARM").kill_on_drop(true);
        tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("drover ends in time").unwrap()
    }

    async fn build(&self, more: &[&str]) -> Output {
        let drv = store_dir(&self.dir).path(self.drv.as_ref());
        self.drover(&[&["build", &drv], more].concat()).await
    }

    fn bucket_url(&self) -> String {
        format!("file://{}/bucket", self.dir.path().display())
    }
}

async fn answer(question: &Incoming, answers: &Answers, submitted: &Mutex<Vec<Submit>>) {
    match &question.subject {
        Subject::Query(Query::Missing) => {
            let asked: AskMissing = question.decode().unwrap();
            question.respond(&Missing { drvs: asked.drvs, sources: asked.sources }).await.unwrap();
        }
        Subject::Query(Query::Submission) => {
            let _: AskSubmission = question.decode().unwrap();
            let known = submitted.lock().unwrap().clone();
            question.respond(&answers(&known)).await.unwrap();
        }
        Subject::Query(Query::Build) => question.respond(&BuildAnswer::Unknown).await.unwrap(),
        other => panic!("nobody should ask {other}"),
    }
}

fn store_dir(dir: &tempfile::TempDir) -> StoreDir {
    dir.path().join("store").to_str().unwrap().parse().unwrap()
}

fn write_drv(store_dir: &StoreDir, name: &str) -> DrvPath {
    let out = StorePath::from_parts(&[7; 20], name).unwrap();
    let derivation = Derivation {
        outputs: BTreeMap::from([("out".parse().unwrap(), DrvOutput { path: out, fixed: None })]),
        input_drvs: BTreeMap::new(),
        input_srcs: BTreeSet::new(),
        system: "x86_64-linux".into(),
        builder: b"/bin/sh".to_vec(),
        args: Vec::new(),
        env: BTreeMap::new(),
    };
    let path = derivation.path(store_dir, name).unwrap();
    std::fs::write(store_dir.path(path.as_ref()), derivation.write(store_dir)).unwrap();
    path
}

/// The submission with its only build in this state.
fn live(submit: &Submit, state: StateName) -> SubmissionAnswer {
    let root = BuildSummary {
        build: submit.roots[0].build,
        submission: submit.submission,
        drv: submit.roots[0].drv.clone(),
        store_dir: submit.store_dir.clone(),
        state,
        reason: "because of the test".into(),
        blocked_by: None,
        agent: None,
        priority: submit.priority,
        created_at: Timestamp(0),
        build_millis: None,
        available: state == StateName::Succeeded,
    };
    let failed = if state == StateName::Failed { vec![root.clone()] } else { Vec::new() };
    SubmissionAnswer::Live(SubmissionStatus {
        submission: submit.submission,
        client: ClientId::new(),
        submitted_at: submit.submitted_at,
        counts: BTreeMap::from([(state, 1)]),
        unpublished: 0,
        roots: vec![root],
        failed,
        blocked: Vec::new(),
    })
}

fn words(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into(), String::from_utf8_lossy(&output.stderr).into())
}

#[tokio::test]
async fn what_the_farm_lacks_is_in_the_bucket_before_the_request_and_the_ids_are_told() {
    let Some(ground) = Ground::new().await else { return };
    ground.scheduler(|_| SubmissionAnswer::Unknown).await;
    let output = ground.build(&["--priority", "-3", "--tag", "why=test", "--no-input-builds"]).await;
    let (out, err) = words(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    let submitted = ground.submitted.lock().unwrap().clone();
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
    assert_eq!(ground.submitted.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_check_is_asked_for_only_where_the_user_does() {
    let Some(ground) = Ground::new().await else { return };
    for (more, mode) in [(vec![], Mode::Build), (vec!["--check"], Mode::Check)] {
        let output = ground.build(&more).await;
        assert_eq!(output.status.code(), Some(0), "{}", words(&output).1);
        assert_eq!(ground.submitted.lock().unwrap().last().unwrap().mode, mode);
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
    let submitted = ground.submitted.lock().unwrap().clone();
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
    let waiting = command.arg("--login-password-file").arg(password).env_remove("DROVER_FARM").kill_on_drop(true).output();
    let waiting = tokio::spawn(waiting);
    while ground.submitted.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ground.server.kill();
    ground.server.wipe();
    ground.server.run();
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    let output = tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it ends in time").unwrap().unwrap();
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
