//! What is forgotten, and what is not.

use std::collections::BTreeMap;

use drover_messages::{ClientId, SubmissionId, WishId};
use drover_scheduler_core::{BuildState, Change, State};
use redb::ReadableDatabase;

use super::*;
use crate::book::samples::{TIME, commit, id, needing_nothing, of, open_build, record, submission};

#[test]
fn the_first_id_of_a_moment_is_before_all_that_were_made_then() {
    let before = first_id_of(Timestamp(Timestamp::now().0.saturating_sub(1)));
    let id = BuildId::new().uuid().into_bytes();
    let after = first_id_of(Timestamp(Timestamp::now().0 + 1));
    assert!(before < id && id < after);
}

#[test]
fn a_submission_is_forgotten_with_its_client_and_its_tags_when_its_last_build_is() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let client = ClientId::new();
    let tagged = |n| Submission { tags: BTreeMap::from([("branch".into(), "main".into())]), ..submission(n, client) };
    let planning = Submission { state: SubmissionState::Planning, ..tagged(102) };
    let transaction = book.database.begin_write().unwrap();
    // Of the submission 100 there is one that is finished, of 101 one that is open.
    let builds = [of(2, "done-1", BuildState::Cancelled), of(3, "open-1", BuildState::Waiting { missing: 1 })];
    record(&transaction, &builds.map(needing_nothing), &[]);
    record(&transaction, &[], &[tagged(100), tagged(101), planning.clone()]);
    transaction.open_table(OPEN).unwrap().insert(id(3), ()).unwrap();
    index::enter_all(&transaction).unwrap();
    for n in [100, 101, 102] {
        transaction.open_table(TAGS).unwrap().insert((tag_row("branch", "main").as_str(), id(n)), ()).unwrap();
    }
    transaction.commit().unwrap();

    assert!(!book.forget_before(Some(Timestamp(TIME.0 + 1))).unwrap());
    let left = [tagged(101).id, planning.id];
    assert_eq!(book.tagged("branch", "main").unwrap(), left);
    let of_client = book.database.begin_read().unwrap().open_table(OF_CLIENT).unwrap();
    let of_client: Vec<_> = of_client.iter().unwrap().map(|row| row.unwrap().0.value().1).collect();
    assert_eq!(of_client, left.map(|id| id.uuid().into_bytes()));
    assert!(book.submission(tagged(100).id).unwrap().is_none() && book.submission(planning.id).unwrap().is_some());
}

#[test]
fn what_is_still_in_the_journal_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let done = of(2, "done-1", BuildState::Cancelled);
    let mut state = State::default();
    state.remember(Vec::new(), Vec::new(), [open_build(done.clone())], Vec::new());
    for change in
        [Change::BuildCreated(Box::new(needing_nothing(done.clone()))), Change::Priority { build: done.id, priority: 1 }]
    {
        commit(&book, vec![change], &state);
    }
    let forget = || book.forget_before(Some(Timestamp(TIME.0 + 1))).unwrap();
    forget();
    assert!(book.build(done.id).unwrap().is_some());
    book.carry_all();
    forget();
    assert!(book.build(done.id).unwrap().is_none());
}

#[test]
fn what_the_broker_may_still_bring_again_is_not_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let young = Submission { id: SubmissionId::new(), ..submission(100, ClientId::new()) };
    let (young_wish, old_wish) = (WishId::new(), WishId::from_uuid(Uuid::from_bytes(id(1))));
    let transaction = book.database.begin_write().unwrap();
    record(&transaction, &[], std::slice::from_ref(&young));
    for wish in [young_wish, old_wish] {
        for table in [WISHES, AHEAD] {
            transaction.open_table(table).unwrap().insert(wish.uuid().into_bytes(), ()).unwrap();
        }
    }
    transaction.commit().unwrap();
    book.forget_before(Some(Timestamp(Timestamp::now().0 + 1000))).unwrap();
    assert!(book.submission(young.id).unwrap().is_some());
    assert!(book.has_heard(young_wish).unwrap() && !book.has_heard(old_wish).unwrap());
    assert_eq!(book.remember().unwrap().cancelled_ahead, [SubmissionId::from_uuid(young_wish.uuid())]);
}

#[test]
fn a_failure_is_forgotten_when_nobody_goes_by_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let now = Timestamp::now().0;
    let transaction = book.database.begin_write().unwrap();
    for (drv, age) in [("old.drv", FAILURES_KNOWN_MILLIS + 1), ("young.drv", FAILURES_KNOWN_MILLIS - 60_000)] {
        transaction.open_table(FAILURES).unwrap().insert(drv, (id(1), now - age)).unwrap();
    }
    transaction.commit().unwrap();
    book.forget_before(None).unwrap();
    let failures = book.database.begin_read().unwrap().open_table(FAILURES).unwrap();
    let left: Vec<String> = failures.iter().unwrap().map(|row| row.unwrap().0.value().to_owned()).collect();
    assert_eq!(left, ["young.drv"]);
}

#[test]
fn a_farm_that_keeps_its_builds_forgets_wishes_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let client = ClientId::new();
    let (young, old) = (WishId::new(), WishId::from_uuid(Uuid::from_bytes(id(1))));
    let done = of(2, "done-1", BuildState::Cancelled);
    let transaction = book.database.begin_write().unwrap();
    record(&transaction, &[needing_nothing(done.clone())], &[submission(100, client), submission(101, client)]);
    for wish in [young, old] {
        for table in [WISHES, AHEAD] {
            transaction.open_table(table).unwrap().insert(wish.uuid().into_bytes(), ()).unwrap();
        }
    }
    transaction.commit().unwrap();
    assert!(!book.forget_before(None).unwrap());
    assert!(book.has_heard(young).unwrap() && !book.has_heard(old).unwrap());
    assert_eq!(book.remember().unwrap().cancelled_ahead, [SubmissionId::from_uuid(young.uuid())]);
    assert!(book.build(done.id).unwrap().is_some());
    assert!([100, 101].iter().all(|n| book.submission(submission(*n, client).id).unwrap().is_some()));
}
