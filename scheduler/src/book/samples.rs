//! Builds and submissions, and states in which they are recorded, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drover_messages::request::{Mode, Terms};
use drover_messages::{BuildId, ClientId, SubmissionId, Timestamp};
use drover_scheduler_core::{Build, BuildState, Heard, Submission, SubmissionState};
use drover_scheduler_core::{Product, Recipe};
use drover_store::{OutputName, PackId, Sha256, StoreDir, StorePath};
use redb::WriteTransaction;
use uuid::Uuid;

use super::paths::Register;
use super::tables::*;
use super::{Book, encode, made};

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
            inputs: Default::default(),
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
pub(super) fn record(t: &WriteTransaction, builds: &[Build], submissions: &[Submission]) {
    for build in builds {
        let id = build.id.uuid().into_bytes();
        t.open_table(BUILDS).unwrap().insert(id, made::row(build, &mut Register::open(t).unwrap()).unwrap().as_slice()).unwrap();
        t.open_table(MEMBERS).unwrap().insert((build.submission.uuid().into_bytes(), id), ()).unwrap();
    }
    for submission in submissions {
        let id = submission.id.uuid().into_bytes();
        t.open_table(SUBMISSIONS).unwrap().insert(id, encode(submission).unwrap().as_slice()).unwrap();
    }
}

/// A state in which these builds are open.
pub(crate) fn open(builds: &[Build], submissions: &[Submission]) -> (tempfile::TempDir, Book) {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let transaction = book.database.begin_write().unwrap();
    record(&transaction, builds, submissions);
    for build in builds {
        transaction.open_table(OPEN).unwrap().insert(build.id.uuid().into_bytes(), ()).unwrap();
    }
    transaction.commit().unwrap();
    (folder, book)
}
