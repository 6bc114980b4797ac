//! What is found by which index, in a state that was recorded before there were any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drover_messages::AttemptId;
use drover_messages::request::{Mode, Terms};
use drover_scheduler_core::build::{Product, Recipe};
use drover_scheduler_core::{Build, BuildState, Heard, Submission, SubmissionState};
use drover_store::{OutputName, PackId, Sha256, StoreDir};
use redb::{ReadableTable, WriteTransaction};

use super::*;
use crate::book::{encode, index};

const TIME: Timestamp = Timestamp(1_760_000_000_000);

fn store_path(n: u8, name: &str) -> StorePath {
    StorePath::from_parts(&[n; 20], name).unwrap()
}

fn id(n: u8) -> Id {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&TIME.0.to_be_bytes()[2..]);
    id[15] = n;
    id
}

fn of(n: u8, name: &str, state: BuildState) -> Build {
    let product = Product { path: store_path(n, name), ca: None };
    Build {
        id: build(id(n)),
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
            outputs: BTreeMap::from([(OutputName::OUT, product)]),
            inputs: BTreeSet::new(),
        }),
        mode: Mode::Build,
        terms: Terms::default(),
        avoid: BTreeSet::new(),
        state,
        attempts: Vec::new(),
        farm_failures: 0,
        failed_downloads: 0,
    }
}

fn submission(n: u8, client: ClientId) -> Submission {
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

/// Records as a program did that knew no tables for lists.
fn record(t: &WriteTransaction, builds: &[Build], submissions: &[Submission]) {
    for build in builds {
        let id = build.id.uuid().into_bytes();
        t.open_table(BUILDS).unwrap().insert(id, encode(build).unwrap().as_slice()).unwrap();
        t.open_table(MEMBERS).unwrap().insert((build.submission.uuid().into_bytes(), id), ()).unwrap();
    }
    for submission in submissions {
        let id = submission.id.uuid().into_bytes();
        t.open_table(SUBMISSIONS).unwrap().insert(id, encode(submission).unwrap().as_slice()).unwrap();
    }
}

#[test]
fn what_was_recorded_before_there_were_lists_is_found_by_name_client_and_failure() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let failed = BuildState::Failed { attempt: AttemptId::new(), cause: drover_messages::Cause::BuilderFailed };
    let builds =
        [of(1, "hello-1", BuildState::Cancelled), of(2, "help-1", failed), of(3, "hello-2", BuildState::Waiting { missing: 1 })];
    let client = ClientId::new();
    let transaction = book.database.begin_write().unwrap();
    record(&transaction, &builds, &[submission(100, ClientId::new()), submission(101, client)]);
    index::enter_all(&transaction).unwrap();
    transaction.commit().unwrap();

    let found = |asked: AskBuilds| {
        let ids = book.candidates(&asked).unwrap().ids;
        ids.iter().map(|id| id.uuid().as_bytes()[15]).collect::<Vec<_>>()
    };
    let name = |name: &str| AskBuilds { name: Some(name.into()), ..AskBuilds::default() };
    assert_eq!(found(name("hel*")), [3, 2, 1]);
    assert_eq!(found(name("*-1")), [2, 1]);
    assert_eq!(found(name("hello-?")), [3, 1]);
    assert_eq!(found(name("hello")), [0; 0]);
    let drv = Some(builds[1].recipe.drv.clone());
    assert_eq!(found(AskBuilds { drv, ..AskBuilds::default() }), [2]);
    assert_eq!(found(AskBuilds { client: Some(client), ..AskBuilds::default() }), [3, 1]);
    assert_eq!(found(AskBuilds { state: Some(StateName::Failed), ..AskBuilds::default() }), [2]);
    assert_eq!(found(AskBuilds { state: Some(StateName::Cancelled), ..AskBuilds::default() }), [1]);
    assert_eq!(found(AskBuilds { after: Some(builds[2].id), ..AskBuilds::default() }), [2, 1]);

    let transaction = book.database.begin_write().unwrap();
    index::forget_build(&transaction, &builds[0]).unwrap();
    assert_eq!(transaction.open_table(NAMES).unwrap().iter().unwrap().count(), 2);
    assert_eq!(transaction.open_table(STOPPED).unwrap().iter().unwrap().count(), 1);
}

#[test]
fn a_time_bounds_the_ids_that_are_looked_through_with_room_for_clocks_and_queues() {
    let asked = |from, to| AskBuilds { from, to, ..AskBuilds::default() };
    let day = 24 * 60 * 60 * 1000;
    let at = |days: i64| Some(Timestamp(TIME.0.saturating_add_signed(days * day)));
    let is_looked_at = |from, to| ids(&asked(from, to)).contains(&build(id(1)));
    assert!(is_looked_at(None, None) && is_looked_at(at(0), at(1)) && is_looked_at(at(7), None) && is_looked_at(None, at(0)));
    assert!(!is_looked_at(at(9), None) && !is_looked_at(None, at(-2)));
    assert!(ids(&asked(at(9), at(-9))).is_empty());
}
