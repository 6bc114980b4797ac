//! One of everything that crosses a process boundary, always the same.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::admin::{Disposal, Dispose, Disposed, LoginAnswer, NewLogin, NewPassword, Role, Snapshot, TakeSnapshot};
use drover_messages::agent::{Abort, Beat, BeatAnswer, Drain, Drained, Held, Hello, Order, Phase, Verdict};
use drover_messages::event::{Event, EventId, Leased, What};
use drover_messages::offer::{Input, Offer, OfferAnswer, Refusal};
use drover_messages::placement::{Candidate, Placement, Score};
use drover_messages::publish::{Done, Origin, Publish, PublishVerdict};
use drover_messages::query::*;
use drover_messages::records::{AskRecords, Record, Records};
use drover_messages::report::{Built, Checked, Failed, Kept, Outcome, Report, SealedLog, Times, Uploaded, UploadedOutput};
use drover_messages::request::{Mode, Nar, Root, SourceManifest, SourceNar, Submit, Terms};
use drover_messages::substitutes::{AskElsewhere, Elsewhere};
use drover_messages::why::*;
use drover_messages::wish::{Target, Wish, Wished};
use drover_messages::{Cause, Epoch, Fingerprint, Generation, Holdings, StoreId, Timestamp};
use drover_store::{ContentAddress, DrvPath, OutputName, PackId, Sha256, StoreDir, StorePath};
use uuid::Uuid;

/// Calls `$do(name, &message)` for every sample.
macro_rules! each {
    ($do:ident) => {
        $do!("submit", &samples::submit());
        $do!("source-manifest", &samples::source_manifest());
        $do!("offer", &samples::offer());
        $do!("hello", &samples::hello());
        $do!("beat", &samples::beat());
        $do!("beat-answer", &samples::beat_answer());
        $do!("abort", &samples::abort());
        $do!("ask-missing", &samples::ask_missing());
        $do!("missing", &samples::missing());
        $do!("ask-submission", &samples::ask_submission());
        $do!("ask-builds", &samples::ask_builds());
        $do!("builds", &samples::builds());
        $do!("ask-build", &samples::ask_build());
        $do!("ask-agents", &samples::ask_agents());
        $do!("agents", &samples::agents());
        $do!("problem", &samples::problem());
        $do!("wish", &samples::wish());
        $do!("take-snapshot", &samples::take_snapshot());
        $do!("snapshot", &samples::snapshot());
        $do!("drain", &samples::drain());
        $do!("drained", &samples::drained());
        $do!("ask-why", &samples::ask_why());
        $do!("ask-records", &samples::ask_records());
        $do!("records", &samples::records());
        for (name, message) in samples::why_answers() {
            $do!(name, &message);
        }
        $do!("ask-elsewhere", &samples::ask_elsewhere());
        $do!("elsewhere", &samples::elsewhere());
        $do!("new-login", &samples::new_login());
        $do!("new-password", &samples::new_password());
        $do!("dispose", &samples::dispose());
        $do!("disposed", &samples::disposed());
        for (name, message) in samples::offer_answers() {
            $do!(name, &message);
        }
        for (name, message) in samples::reports() {
            $do!(name, &message);
        }
        for (name, message) in samples::publishes() {
            $do!(name, &message);
        }
        for (name, message) in samples::dones() {
            $do!(name, &message);
        }
        for (name, message) in samples::events() {
            $do!(name, &message);
        }
        for (name, message) in samples::submission_answers() {
            $do!(name, &message);
        }
        for (name, message) in samples::build_answers() {
            $do!(name, &message);
        }
        for (name, message) in samples::login_answers() {
            $do!(name, &message);
        }
    };
}
pub(crate) use each;

/// An id that says what it is for.
fn id(n: u8) -> Uuid {
    Uuid::from_bytes([1, 0x93, 0xa1, 0xb2, 0xc3, 0xd4, 0x7e, 0x5f, 0x8a, 0x6b, 0, 0, 0, 0, 0, n])
}

macro_rules! ids {
    ($($function:ident: $id:ident = $n:literal,)+) => {
        $(fn $function() -> drover_messages::$id { drover_messages::$id::from_uuid(id($n)) })+
    };
}

ids! {
    submission: SubmissionId = 1,
    client: ClientId = 2,
    build: BuildId = 3,
    wish_id: WishId = 11,
    attempt: AttemptId = 4,
    agent: AgentId = 5,
    report_id: ReportId = 6,
    publication: PublicationId = 7,
    another_build: BuildId = 8,
}

fn epoch() -> Epoch {
    Epoch { generation: Generation(3), n: 70_000 }
}

fn path(name: &str) -> StorePath {
    format!("0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-{name}").parse().unwrap()
}

fn drv() -> DrvPath {
    DrvPath::try_from(path("hello-2.12.1.drv")).unwrap()
}

fn output() -> OutputName {
    "out".parse().unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(1_732_600_000_000 + 1000 * seconds)
}

fn hash(of: &str) -> Sha256 {
    Sha256::of(of.as_bytes())
}

fn nar() -> Nar {
    Nar {
        key: format!("incoming/{}/{}/hello.nar.zst", agent(), attempt()),
        nar_hash: hash("nar"),
        nar_size: 5_000_000_000,
        file_hash: hash("file"),
        file_size: 226_560,
    }
}

fn log() -> SealedLog {
    SealedLog { key: format!("logs/{}/{}.zst", build(), attempt()), bytes: 12_345 }
}

fn times() -> Times {
    Times {
        started_at: at(1),
        stopped_at: at(3),
        inputs_micros: 1500,
        waited_micros: 20,
        build_micros: 2_000_000,
        peak_memory_mib: Some(1800),
    }
}

pub fn submit() -> Submit {
    Submit {
        submission: submission(),
        store_dir: StoreDir::nix(),
        roots: vec![Root { build: build(), drv: drv() }],
        packs: vec![PackId(hash("pack"))],
        sources: vec!["incoming/sources".into()],
        priority: -5,
        tags: BTreeMap::from([("branch".into(), "größer".into())]),
        input_builds: true,
        mode: Mode::Check,
        terms: terms(),
        submitted_at: at(0),
    }
}

fn terms() -> Terms {
    Terms {
        on: BTreeMap::from([("cpu".into(), "zen4".into())]),
        not_on: BTreeMap::from([("site".into(), "attic".into())]),
        apart: true,
        confirm: true,
        known_failures: true,
    }
}

pub fn take_snapshot() -> TakeSnapshot {
    TakeSnapshot {}
}

pub fn snapshot() -> Snapshot {
    Snapshot { file: "/var/lib/drover/snapshots/state-1760000000000.redb".into(), bytes: 4096, took_millis: 250 }
}

pub fn drain() -> Drain {
    Drain { agents: vec!["builder-*".into()], drained: true, deadline_secs: Some(600) }
}

pub fn drained() -> Drained {
    Drained { agents: BTreeSet::from([agent()]) }
}

pub fn ask_why() -> AskWhy {
    AskWhy { build: build() }
}

pub fn ask_records() -> AskRecords {
    AskRecords { which: ask_builds() }
}

pub fn records() -> Records {
    let record = Record {
        build: build(),
        submission: submission(),
        client: Some(client()),
        created_at: at(1),
        priority: 3,
        drv: drv(),
        store_dir: StoreDir::guix(),
        system: "x86_64-linux".into(),
        features: BTreeSet::from(["mem:16".into()]),
        outputs: BTreeSet::from([path("hello-2.12.1")]),
        inputs: BTreeSet::from([path("zlib-1.3")]),
        agent: agent(),
        times: times(),
    };
    Records { records: vec![record], next: Some(build()) }
}

pub fn why_answers() -> Vec<(&'static str, WhyAnswer)> {
    let verdict = AgentVerdict { why_not: "it lacks the feature kvm".into(), agents: vec![agent()] };
    let cause = RootCause { build: summary(), agents: vec![verdict], placement: Some(placement()) };
    let why = Why {
        build: summary(),
        causes: vec![cause],
        more: true,
        chain: vec![summary()],
        dead_ends: vec![(path("zlib-1.3"), "lost".into())],
    };
    vec![("why-answer-unknown", WhyAnswer::Unknown), ("why-answer-known", WhyAnswer::Known(Box::new(why)))]
}

pub fn source_manifest() -> SourceManifest {
    let ca = ContentAddress::source(hash("nar"));
    let source = SourceNar { path: path("source"), ca, references: vec![path("source")], nar: nar() };
    let text = SourceNar { path: path("builder.sh"), ca: ContentAddress::Text(hash("text")), references: vec![], nar: nar() };
    SourceManifest { sources: vec![source, text] }
}

pub fn offer() -> Offer {
    Offer {
        generation: Generation(4),
        epoch: epoch(),
        attempt: attempt(),
        build: build(),
        store_dir: StoreDir::guix(),
        drv: drv(),
        pack: PackId(hash("pack")),
        closure: vec![PackId(hash("other pack")), PackId(hash("pack"))],
        inputs: vec![Input { path: path("zlib-1.3"), available: false }],
        mode: Mode::Check,
    }
}

pub fn wish() -> Wish {
    Wish { wish: wish_id(), target: Target::Build(build()), change: Wished::Priority(7) }
}

pub fn ask_elsewhere() -> AskElsewhere {
    AskElsewhere { store_dir: StoreDir::guix(), paths: BTreeSet::from([path("zlib-1.3")]) }
}

pub fn elsewhere() -> Elsewhere {
    Elsewhere { found: BTreeMap::from([(path("zlib-1.3"), BTreeSet::from(["https://ci.example".into()]))]) }
}

pub fn offer_answers() -> Vec<(&'static str, OfferAnswer)> {
    let refused = |refusal| OfferAnswer::Refused(refusal);
    vec![
        ("offer-answer-accepted", OfferAnswer::Accepted),
        ("offer-answer-superseded", refused(Refusal::Superseded(Generation(9)))),
        ("offer-answer-full", refused(Refusal::Full)),
        ("offer-answer-draining", refused(Refusal::Draining)),
        ("offer-answer-not-ready", refused(Refusal::NotReady("the disk is full".into()))),
    ]
}

pub fn hello() -> Hello {
    Hello {
        name: "builder-1".into(),
        version: "0.1.0".into(),
        store_dir: StoreDir::nix(),
        store: StoreId::from("builder-1:/nix/store"),
        systems: vec!["x86_64-linux".into()],
        features: vec!["kvm".into()],
        mandatory_features: BTreeSet::from(["kvm".into()]),
        resources: BTreeMap::from([("mem".into(), 64)]),
        tags: BTreeMap::from([("cpu".into(), "zen4".into())]),
        max_parallel_builds: 4,
        servers: BTreeSet::from(["https://ci.example".into()]),
        beat: beat(),
    }
}

pub fn beat() -> Beat {
    let held = Held { attempt: attempt(), build: build(), drv: drv(), epoch: epoch(), phase: Phase::Building };
    Beat {
        generation: Generation(3),
        load_percent: 150,
        store_free_bytes: 1 << 40,
        not_ready: Some("draining".into()),
        held: vec![held],
        memory_free_mib: Some(48_000),
        holds: Some(Holdings::of([Fingerprint::of(&path("zlib-1.3"))].into_iter())),
        gained: vec![Fingerprint::of(&path("hello-2.12.1"))],
    }
}

pub fn beat_answer() -> BeatAnswer {
    let orders = [Order::ReportAgain, Order::UploadAgain, Order::Settled, Order::Abort];
    let verdicts = orders.map(|order| Verdict { attempt: attempt(), order }).to_vec();
    BeatAnswer { generation: Generation(3), hello: true, verdicts, beat_every_millis: 10_000 }
}

pub fn abort() -> Abort {
    Abort { generation: Generation(3), attempt: attempt() }
}

pub fn reports() -> Vec<(&'static str, Report)> {
    let report = |outcome| Report { report: report_id(), attempt: attempt(), build: build(), epoch: epoch(), outcome };
    let built = Built {
        outputs: BTreeMap::from([(output(), path("hello-2.12.1"))]),
        already_valid: false,
        times: times(),
        log: Some(log()),
    };
    let uploaded = UploadedOutput { name: output(), path: path("hello-2.12.1"), references: vec![path("zlib-1.3")], nar: nar() };
    let failed = |cause| Failed { cause, message: "exit code 1".into(), times: Times::default(), log: None, kept: vec![] };
    let kept = Kept { name: output(), path: path("hello-2.12.1"), nar: nar() };
    let differs = Failed { kept: vec![kept], ..failed(Cause::NotDeterministic) };
    vec![
        ("report-built", report(Outcome::Built(built))),
        ("report-uploaded", report(Outcome::Uploaded(Uploaded { outputs: vec![uploaded], upload_micros: 900 }))),
        ("report-checked", report(Outcome::Checked(Checked { times: times(), log: Some(log()) }))),
        ("report-check-failed", report(Outcome::Failed(differs))),
        ("report-failed", report(Outcome::Failed(failed(Cause::BuilderFailed)))),
        ("report-failed-known", report(Outcome::Failed(failed(Cause::KnownFailure { build: build() })))),
        ("report-failed-inputs", report(Outcome::Failed(failed(Cause::InputsUnavailable { missing: vec![path("zlib-1.3")] })))),
    ]
}

pub fn publishes() -> Vec<(&'static str, Publish)> {
    let publish = |origin| Publish {
        publication: publication(),
        generation: Generation(3),
        store_dir: StoreDir::nix(),
        path: path("hello-2.12.1"),
        references: vec![path("zlib-1.3")],
        elsewhere: vec![path("zlib-1.3")],
        nar: nar(),
        origin,
        closure: vec![PackId(hash("pack"))],
    };
    let output = Origin::Output {
        agent: agent(),
        build: build(),
        attempt: attempt(),
        deriver: path("hello-2.12.1.drv"),
        system: "x86_64-linux".into(),
        candidates: vec![path("zlib-1.3"), path("hello-2.12.1")],
        ca: Some(ContentAddress::source(hash("nar"))),
        log: Some(log().key),
    };
    let source = Origin::Source { client: client(), submission: submission(), ca: ContentAddress::Text(hash("text")) };
    vec![("publish-output", publish(output)), ("publish-source", publish(source))]
}

pub fn done_published() -> (&'static str, Done) {
    ("done-published", Done { publication: publication(), verdict: PublishVerdict::Published })
}

pub fn dones() -> Vec<(&'static str, Done)> {
    let verdicts = [
        PublishVerdict::AlreadyThere,
        PublishVerdict::Differs { there: hash("other nar"), kept: nar() },
        PublishVerdict::Refused { why: "it is another nar".into() },
        PublishVerdict::NarMissing,
        PublishVerdict::ReferencesMissing { missing: vec![path("zlib-1.3")] },
    ];
    // A new verdict is missed here.
    let name = |verdict: &PublishVerdict| match verdict {
        PublishVerdict::Published => "done-published",
        PublishVerdict::AlreadyThere => "done-already-there",
        PublishVerdict::Differs { .. } => "done-differs",
        PublishVerdict::Refused { .. } => "done-refused",
        PublishVerdict::NarMissing => "done-nar-missing",
        PublishVerdict::ReferencesMissing { .. } => "done-references-missing",
    };
    let more = verdicts.into_iter().map(|verdict| (name(&verdict), Done { publication: publication(), verdict }));
    std::iter::once(done_published()).chain(more).collect()
}

pub fn events() -> Vec<(&'static str, Event)> {
    let event = |what| (event_name(&what), Event { id: EventId { generation: 3, record: 1_000_000, index: 2 }, at: at(9), what });
    let (submission, client, build, attempt, agent, drv) = (submission(), client(), build(), attempt(), agent(), drv());
    let (store_dir, path) = (StoreDir::nix(), path("hello-2.12.1"));
    let (cause, message, why) = (Cause::AgentLost, String::from("in words"), String::from("in words"));
    let all = [
        What::SubmissionAccepted { submission, client, builds: 300 },
        What::SubmissionRejected { submission, client, why: why.clone() },
        What::BuildLeased { build, attempt, agent, epoch: epoch() },
        What::BuildsLeased { leases: vec![Leased { build, attempt, agent, epoch: epoch() }] },
        What::BuildPlaced { build, attempt, placement: placement() },
        What::BuildSucceeded { build, attempt, agent, drv: drv.clone(), build_millis: 7, already_valid: true },
        What::BuildChecked { build, attempt, agent, drv: drv.clone(), build_millis: 7 },
        What::AttemptVoid { build, attempt, agent, cause, message: message.clone() },
        What::BuildFailed { build, attempt, agent, drv, cause: Cause::HashMismatch, message },
        What::BuildBlocked { build, by: another_build() },
        What::BuildReopened { build, item: path.clone() },
        What::ItemAvailable { store_dir: store_dir.clone(), path: path.clone() },
        What::ItemsAvailable { store_dir: store_dir.clone(), paths: vec![path.clone()] },
        What::ItemLost { store_dir: store_dir.clone(), path: path.clone() },
        What::PublicationRefused { store_dir, path: path.clone(), why: why.clone() },
        What::BuildDiffers { build, attempt, path, there: hash("other nar"), here: hash("nar") },
        What::ItemGivenUp { store_dir: StoreDir::nix(), path: self::path("hello-2.12.1"), losses: 5 },
        What::AgentQuarantined { agent, why: why.clone() },
        What::AgentReleased { agent },
        What::BuildCancelled { build },
        What::BuildRetried { build },
        What::WishFulfilled { wish: wish_id(), client, builds: 3 },
        What::WishRefused { wish: wish_id(), client, why },
        What::AgentJoined { agent, name: "builder-1".into() },
        What::AgentLost { agent },
    ];
    all.into_iter().map(event).collect()
}

fn placement() -> Placement {
    let score = Score { inputs_millis: 1_200, speed_millis: -300, spread_millis: 250, ..Score::default() };
    let other = Score { memory_millis: 500, slot_millis: 30_000, ..score };
    let candidate = |score| Candidate { agent: agent(), score };
    Placement { chosen: candidate(score), others: vec![candidate(other)] }
}

/// A new event is missed here.
fn event_name(what: &What) -> &'static str {
    match what {
        What::SubmissionAccepted { .. } => "event-submission-accepted",
        What::SubmissionRejected { .. } => "event-submission-rejected",
        What::BuildLeased { .. } => "event-build-leased",
        What::BuildsLeased { .. } => "event-builds-leased",
        What::BuildPlaced { .. } => "event-build-placed",
        What::BuildSucceeded { .. } => "event-build-succeeded",
        What::BuildChecked { .. } => "event-build-checked",
        What::AttemptVoid { .. } => "event-attempt-void",
        What::BuildFailed { .. } => "event-build-failed",
        What::BuildBlocked { .. } => "event-build-blocked",
        What::BuildReopened { .. } => "event-build-reopened",
        What::ItemAvailable { .. } => "event-item-available",
        What::ItemsAvailable { .. } => "event-items-available",
        What::ItemLost { .. } => "event-item-lost",
        What::PublicationRefused { .. } => "event-publication-refused",
        What::BuildDiffers { .. } => "event-build-differs",
        What::ItemGivenUp { .. } => "event-item-given-up",
        What::AgentQuarantined { .. } => "event-agent-quarantined",
        What::AgentReleased { .. } => "event-agent-released",
        What::BuildCancelled { .. } => "event-build-cancelled",
        What::BuildRetried { .. } => "event-build-retried",
        What::WishFulfilled { .. } => "event-wish-fulfilled",
        What::WishRefused { .. } => "event-wish-refused",
        What::AgentJoined { .. } => "event-agent-joined",
        What::AgentLost { .. } => "event-agent-lost",
    }
}

pub fn ask_missing() -> AskMissing {
    AskMissing { store_dir: StoreDir::nix(), drvs: BTreeSet::from([drv()]), sources: BTreeSet::from([path("source")]) }
}

pub fn missing() -> Missing {
    Missing { drvs: BTreeSet::from([drv()]), sources: BTreeSet::new() }
}

pub fn ask_submission() -> AskSubmission {
    AskSubmission { submission: submission() }
}

pub fn submission_answers() -> Vec<(&'static str, SubmissionAnswer)> {
    let status = SubmissionStatus {
        submission: submission(),
        client: client(),
        submitted_at: at(0),
        cancelled: true,
        counts: BTreeMap::from([(StateName::Ready, 2), (StateName::Blocked, 1)]),
        given_up: 0,
        unpublished: 4,
        roots: vec![summary()],
        failed: vec![],
        blocked: vec![],
    };
    vec![
        ("submission-answer-unknown", SubmissionAnswer::Unknown),
        ("submission-answer-planning", SubmissionAnswer::Planning),
        ("submission-answer-rejected", SubmissionAnswer::Rejected { why: "a pack is spoilt".into() }),
        ("submission-answer-live", SubmissionAnswer::Live(status)),
    ]
}

fn summary() -> BuildSummary {
    BuildSummary {
        build: build(),
        submission: submission(),
        drv: drv(),
        store_dir: StoreDir::nix(),
        mode: Mode::Check,
        state: StateName::Blocked,
        reason: "hello failed".into(),
        blocked_by: Some(another_build()),
        agent: Some(agent()),
        priority: 7,
        created_at: at(0),
        build_millis: Some(12),
        available: false,
    }
}

pub fn ask_builds() -> AskBuilds {
    AskBuilds {
        submission: Some(submission()),
        state: Some(StateName::Deferred),
        tags: BTreeMap::from([("branch".into(), "main".into())]),
        system: Some("x86_64-linux".into()),
        client: Some(client()),
        name: Some("hello-*".into()),
        drv: Some(drv()),
        output: Some(path("hello-2.12.1")),
        from: Some(Timestamp(1_750_000_000_000)),
        to: Some(Timestamp(1_760_000_000_000)),
        after: Some(build()),
        limit: 100,
    }
}

pub fn builds() -> Builds {
    Builds { builds: vec![summary()], more: true, next: Some(build()) }
}

pub fn ask_build() -> AskBuild {
    AskBuild { build: build() }
}

pub fn build_answers() -> Vec<(&'static str, BuildAnswer)> {
    let evidence = Some(Evidence { build: build(), attempt: attempt() });
    let attempt = AttemptDetail {
        attempt: attempt(),
        agent: agent(),
        epoch: epoch(),
        state: "failed".into(),
        cause: Some(Cause::DiskFull),
        message: "no space left".into(),
        times: Some(times()),
        log: Some(log()),
        already_valid: false,
        kept: vec![Kept { name: output(), path: path("hello-2.12.1"), nar: nar() }],
    };
    let detail = BuildDetail {
        summary: summary(),
        tags: BTreeMap::from([("branch".into(), "main".into())]),
        system: "x86_64-linux".into(),
        outputs: BTreeMap::from([(output(), (path("hello-2.12.1"), "wanted".into()))]),
        missing_inputs: vec![(path("zlib-1.3"), "wanted".into())],
        attempts: vec![attempt],
        evidence,
    };
    vec![("build-answer-unknown", BuildAnswer::Unknown), ("build-answer-known", BuildAnswer::Known(Box::new(detail)))]
}

pub fn ask_agents() -> AskAgents {
    AskAgents { after: None }
}

pub fn agents() -> Agents {
    let row = AgentRow {
        agent: agent(),
        name: "builder-1".into(),
        alive: true,
        not_ready: None,
        store_dir: Some(StoreDir::guix()),
        systems: vec!["x86_64-linux".into()],
        features: vec!["kvm".into()],
        mandatory_features: BTreeSet::from(["kvm".into()]),
        resources: BTreeMap::from([("mem".into(), 64)]),
        max_parallel_builds: 4,
        servers: BTreeSet::from(["https://ci.example".into()]),
        tags: BTreeMap::from([("cpu".into(), "zen4".into())]),
        drained: true,
        quarantine: Some("its builds fail where others succeed".into()),
        leases: 5,
        silent_millis: Some(1234),
        seen: None,
    };
    Agents { agents: vec![row], more: false }
}

pub fn problem() -> Problem {
    Problem { message: "ask for less".into() }
}

pub fn dispose() -> Dispose {
    Dispose { sequences: BTreeSet::from([3, 70_000]), how: Disposal::Retry }
}

pub fn disposed() -> Disposed {
    Disposed { done: BTreeSet::from([3]), refused: vec![(70_000, "it is not there".into())] }
}

pub fn new_login() -> NewLogin {
    NewLogin { role: Role::Agent, name: "builder-1".into() }
}

pub fn new_password() -> NewPassword {
    NewPassword { id: id(5) }
}

pub fn login_answers() -> Vec<(&'static str, LoginAnswer)> {
    let made = LoginAnswer::Made { id: id(5), password: "00112233445566778899aabbccddeeff".into() };
    vec![("login-answer-made", made), ("login-answer-unknown", LoginAnswer::Unknown)]
}
