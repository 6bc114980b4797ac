//! Builds and submissions, and states in which they are recorded, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drover_messages::agent::{Beat, Hello};
use drover_messages::request::{Mode, Terms};
use drover_messages::{AgentId, AttemptId, BuildId, ClientId, Epoch, Generation, StoreId, SubmissionId, Timestamp};
use drover_scheduler_core::breaker::Breaker;
use drover_scheduler_core::{
    Attempt, Build, BuildState, Change, Heard, KnownAgent, OpenBuild, Product, Recipe, State, Submission, SubmissionState,
    WholeBuild,
};
use drover_store::{OutputName, PackId, Sha256, StoreDir, StorePath};
use redb::WriteTransaction;
use uuid::Uuid;

use super::paths::Register;
use super::tables::*;
use super::{Book, Page, Record, Sheet, encode, made};
use crate::told::Told;

type Id = [u8; 16];

pub(super) const TIME: Timestamp = Timestamp(1_760_000_000_000);

pub(super) fn store_path(n: u8, name: &str) -> StorePath {
    StorePath::from_parts(&[n; 20], name).unwrap()
}

pub(super) fn id(n: u8) -> Id {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&TIME.0.to_be_bytes()[2..]);
    id[15] = n;
    id
}

/// An agent that is away.
pub(crate) fn known_agent(name: &str) -> KnownAgent {
    let hello = Hello {
        name: name.into(),
        version: "0".into(),
        store_dir: StoreDir::nix(),
        store: StoreId::from(name.to_owned()),
        systems: vec!["x86_64-linux".into()],
        features: Vec::new(),
        mandatory_features: BTreeSet::new(),
        resources: BTreeMap::new(),
        tags: BTreeMap::new(),
        max_parallel_builds: 1,
        servers: BTreeSet::new(),
        beat: Beat::default(),
    };
    KnownAgent { hello, seen: Some(TIME), breaker: Breaker::default(), pace: Default::default() }
}

pub(crate) fn of(n: u8, name: &str, state: BuildState) -> Build {
    let product = Product { path: store_path(n, name), ca: None };
    Build {
        id: BuildId::from_uuid(Uuid::from_bytes(id(n))),
        submission: SubmissionId::from_uuid(Uuid::from_bytes(id(100 + n % 2))),
        root: true,
        seq: n.into(),
        created_at: TIME,
        entered: Heard(0),
        priority: 0,
        recipe: Arc::new(Recipe {
            drv: store_path(n, &format!("{name}.drv")).try_into().unwrap(),
            pack: PackId(Sha256::of(b"pack")),
            store_dir: StoreDir::nix(),
            system: "x86_64-linux".into(),
            features: BTreeSet::new(),
            outputs: [(OutputName::OUT, product)].into_iter().collect(),
        }),
        mode: Mode::Build,
        terms: Default::default(),
        avoid: Default::default(),
        state,
        attempts: Vec::new(),
        farm_failures: 0,
        failed_downloads: 0,
    }
}

pub(super) fn needing_nothing(build: Build) -> WholeBuild {
    WholeBuild { build, inputs: Default::default() }
}

/// The same, as it is taken back.
pub(super) fn open_build(build: Build) -> OpenBuild {
    OpenBuild::new(build, Default::default())
}

/// Commits changes of a state that they were applied to.
pub(crate) fn commit(book: &Book, changes: Vec<Change>, state: &State) {
    let record = Record { generation: Generation(1), heard: Heard(1), wall: TIME, events: Vec::new() };
    let page = Page::of(&changes);
    book.commit(Sheet::of(record, changes, &page, state).unwrap(), Told::default()).unwrap();
}

/// A build, and the numbers of what it needs.
pub(super) fn needing(build: Build, inputs: impl IntoIterator<Item = u8>) -> WholeBuild {
    WholeBuild { build, inputs: inputs.into_iter().map(|n| store_path(n, "input")).collect() }
}

/// One of which everything is said that is seldom said.
pub(super) fn rare() -> WholeBuild {
    let plain = of(1, "hello-1", BuildState::Waiting { missing: 2 });
    let agent = |n| AgentId::from_uuid(Uuid::from_bytes(id(n)));
    let ca = "fixed:r:sha256:0c5b8vw40dy178xlpddw65q9gf1h2186jcc3p4swinwggbllv8mk".parse().map(Box::new).unwrap();
    let outputs = [(OutputName::OUT, 7, Some(ca)), ("lib".parse().unwrap(), 8, None)];
    let outputs = outputs.map(|(name, n, ca)| (name, Product { path: store_path(n, "made"), ca })).into_iter().collect();
    let epoch = Epoch { generation: Generation(2), n: 9 };
    let attempt = AttemptId::from_uuid(Uuid::from_bytes(id(50)));
    let build = Build {
        entered: Heard(77),
        priority: -3,
        recipe: Arc::new(Recipe { outputs, features: ["kvm".to_owned()].into(), ..plain.recipe.as_ref().clone() }),
        terms: Terms { apart: true, ..Terms::default() }.into(),
        avoid: BTreeSet::from([agent(61)]).into(),
        attempts: vec![Attempt::begin(attempt, agent(60), StoreId::from("store"), epoch)],
        farm_failures: 1,
        ..plain
    };
    WholeBuild { build, inputs: [store_path(20, "input"), store_path(30, "source")].into_iter().collect() }
}

pub(crate) fn submission(n: u8, client: ClientId) -> Submission {
    Submission {
        id: SubmissionId::from_uuid(Uuid::from_bytes(id(n))),
        client,
        store_dir: StoreDir::nix(),
        roots: Vec::new(),
        priority: 0,
        tags: BTreeMap::new(),
        input_builds: true,
        terms: Terms::default(),
        submitted_at: TIME,
        state: SubmissionState::Live { builds: 2 },
    }
}

/// Records, but not in the tables for lists.
pub(super) fn record(t: &WriteTransaction, builds: &[WholeBuild], submissions: &[Submission]) {
    for WholeBuild { build, inputs } in builds {
        let id = build.id.uuid().into_bytes();
        t.open_table(BUILDS)
            .unwrap()
            .insert(id, made::row(build, inputs, &mut Register::open(t).unwrap()).unwrap().as_slice())
            .unwrap();
        t.open_table(MEMBERS).unwrap().insert((build.submission.uuid().into_bytes(), id), ()).unwrap();
    }
    for submission in submissions {
        let id = submission.id.uuid().into_bytes();
        t.open_table(SUBMISSIONS).unwrap().insert(id, encode(submission).unwrap().as_slice()).unwrap();
    }
}

/// A state in which these builds are open.
pub(crate) fn open(builds: &[Build], submissions: &[Submission]) -> (tempfile::TempDir, Book) {
    let builds: Vec<WholeBuild> = builds.iter().cloned().map(needing_nothing).collect();
    open_whole(&builds, submissions)
}

/// The same, with what they need.
pub(super) fn open_whole(builds: &[WholeBuild], submissions: &[Submission]) -> (tempfile::TempDir, Book) {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let transaction = book.database.begin_write().unwrap();
    record(&transaction, builds, submissions);
    for WholeBuild { build, .. } in builds {
        transaction.open_table(OPEN).unwrap().insert(build.id.uuid().into_bytes(), ()).unwrap();
    }
    transaction.commit().unwrap();
    (folder, book)
}
