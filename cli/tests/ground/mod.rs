//! A real nats-server with a scheduler that says what the test wants, and `drover` started beside them.

#![allow(clippy::unwrap_used, dead_code)] // Each test file uses some of it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drover_messages::query::{
    AskMissing, AskSubmission, BuildAnswer, BuildSummary, Missing, StateName, SubmissionAnswer, SubmissionStatus,
};
use drover_messages::request::Submit;
use drover_messages::{ClientId, Timestamp};
use drover_nats::permissions::Who;
use drover_nats::service::{About, Asked, Service};
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Filter, Incoming, Query, Reread, Subject, reconcile, streams};
use drover_store::{Derivation, DrvPath, Output as DrvOutput, StoreDir, StorePath};

/// What the scheduler answers to a question about the submission, given the requests that came so far.
type Answers = Arc<dyn Fn(&[Submit]) -> SubmissionAnswer + Send + Sync>;

/// A request that is acknowledged comes within this time.
const COMES_WITHIN: Duration = Duration::from_secs(10);

pub struct Ground {
    pub dir: tempfile::TempDir,
    pub server: NatsServer,
    pub client: ClientId,
    pub drv: DrvPath,
    bus: Bus,
    pub submitted: Arc<Mutex<Vec<Submit>>>,
}

impl Ground {
    pub async fn new() -> Option<Self> {
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

    /// The requests that came, once there are so many: a request may come after `drover`, which had it acknowledged, has ended.
    pub async fn came(&self, count: usize) -> Vec<Submit> {
        let came = async {
            while self.submitted.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(COMES_WITHIN, came).await.unwrap_or_else(|_| panic!("{count} requests do not come"));
        self.submitted.lock().unwrap().clone()
    }

    /// Starts a scheduler that lacks everything.
    pub async fn scheduler(&self, answers: impl Fn(&[Submit]) -> SubmissionAnswer + Send + Sync + 'static) {
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

    /// Runs `drover` with these arguments and a login.
    pub async fn drover(&self, args: &[&str]) -> Output {
        self.drover_in(&[], args).await
    }

    /// The same, started through a command that takes it as its last arguments.
    pub async fn drover_in(&self, through: &[&str], args: &[&str]) -> Output {
        let line = [through, &[env!("CARGO_BIN_EXE_drover")]].concat();
        let mut command = tokio::process::Command::new(line[0]);
        command.args(&line[1..]).args(args).args(["--nats-url", &self.server.url(), "--login", &self.client.to_string()]);
        command.arg("--login-password-file").arg(self.dir.path().join("password")).args(["--bucket", &self.bucket_url()]);
        command.env_remove("DROVER_FARM").kill_on_drop(true);
        tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("drover ends in time").unwrap()
    }

    pub async fn build(&self, more: &[&str]) -> Output {
        let drv = store_dir(&self.dir).path(self.drv.as_ref());
        self.drover(&[&["build", &drv], more].concat()).await
    }

    pub fn bucket_url(&self) -> String {
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

pub fn store_dir(dir: &tempfile::TempDir) -> StoreDir {
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
pub fn live(submit: &Submit, state: StateName) -> SubmissionAnswer {
    let root = BuildSummary {
        mode: Default::default(),
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
        cancelled: false,
        counts: BTreeMap::from([(state, 1)]),
        given_up: 0,
        unpublished: 0,
        roots: vec![root],
        failed,
        blocked: Vec::new(),
    })
}

pub fn words(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into(), String::from_utf8_lossy(&output.stderr).into())
}
