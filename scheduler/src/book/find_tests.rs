//! What is found by which index, in a state that was recorded before there were any.

use drover_messages::AttemptId;
use drover_scheduler_core::BuildState;
use redb::ReadableTable;

use super::*;
use crate::book::index;
use crate::book::samples::{TIME, id, needing_nothing, of, record, submission};

#[test]
fn what_was_recorded_before_there_were_lists_is_found_by_name_client_and_failure() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let failed = BuildState::Failed { attempt: AttemptId::new(), cause: drover_messages::Cause::BuilderFailed };
    let builds =
        [of(1, "hello-1", BuildState::Cancelled), of(2, "help-1", failed), of(3, "hello-2", BuildState::Waiting { missing: 1 })];
    let client = ClientId::new();
    let transaction = book.database.begin_write().unwrap();
    record(&transaction, &builds.clone().map(needing_nothing), &[submission(100, ClientId::new()), submission(101, client)]);
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
    let of_client = |state| AskBuilds { client: Some(client), state: Some(state), ..AskBuilds::default() };
    assert_eq!(found(of_client(StateName::Cancelled)), [1]);
    assert_eq!(found(of_client(StateName::Failed)), [0; 0], "what failed is another's");
    assert_eq!(found(AskBuilds { state: Some(StateName::Failed), ..name("hel*") }), [2]);
    assert_eq!(found(AskBuilds { after: Some(builds[2].id), ..AskBuilds::default() }), [2, 1]);

    let transaction = book.database.begin_write().unwrap();
    index::forget_build(&transaction, &builds[0].recipe.drv, builds[0].id.uuid().into_bytes()).unwrap();
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
