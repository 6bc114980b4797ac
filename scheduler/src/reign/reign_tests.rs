//! One commit is written while the next is decided about; what must not be seen of that.

use std::thread;
use std::time::Duration;

use drover_messages::{AgentId, AttemptId, Epoch};
use drover_scheduler_core::{BuildState, Lease};
use drover_store::StoreDir;

use super::*;
use crate::book::samples;
use crate::work::{Desk, Piece};

fn path(n: u8) -> StorePath {
    StorePath::from_parts(&[n; 20], "item").unwrap()
}

fn found(path: &StorePath) -> Input {
    let found = vec![(path.clone(), BTreeSet::from(["https://elsewhere.example".to_owned()]))];
    Input::Found { store_dir: StoreDir::nix(), found }
}

/// The same of so many that it takes long to write.
fn found_among_many(n: u8) -> Input {
    let many = (0..LONG as u32).map(|other| {
        let mut hash = [n; 20];
        hash[..4].copy_from_slice(&other.to_be_bytes());
        StorePath::from_parts(&hash, "other").unwrap()
    });
    let servers = BTreeSet::from(["https://elsewhere.example".to_owned()]);
    let found = many.chain([path(n)]).map(|path| (path, servers.clone())).collect();
    Input::Found { store_dir: StoreDir::nix(), found }
}

#[test]
fn what_was_brought_last_is_committed_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let (reign, (desk, inbox)) = (Reign::over(&book), Desk::new());
    let reign = thread::spawn(move || reign.run(inbox));
    (0..100).for_each(|n| block_on(desk.bring(found(&path(n)))));
    drop(desk);
    reign.join().unwrap().unwrap();
    let items: BTreeMap<StorePath, Item> = book.items(&(0..100).map(path).collect::<Vec<_>>()).unwrap();
    assert_eq!(items.len(), 100);
}

#[test]
fn what_is_being_written_is_read_when_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let mut reign = Reign::over(&book);
    let mut batch = Batch::default();
    reign.decide(found_among_many(7), None, &mut batch).unwrap();
    let held = book.hold();
    reign.put_down(&mut batch).unwrap();
    reign.core.state_mut().forget_finished([], [], [path(7)]);
    assert!(reign.core.state().item(&path(7)).is_none());

    let recalling = thread::spawn(move || reign.recall_for(&found(&path(7))).unwrap());
    thread::sleep(Duration::from_millis(50));
    drop(held);
    let Some(Input::Recall { items, .. }) = recalling.join().unwrap() else { panic!("nothing was recalled") };
    assert_eq!(items.len(), 1);
}

#[test]
fn what_is_asked_is_answered_before_more_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let (reign, (desk, inbox)) = (Reign::over(&book), Desk::new());
    let held = book.hold();
    let reign = thread::spawn(move || reign.run(inbox));
    block_on(desk.bring(found_among_many(1)));
    let (asking, more) = (desk.clone(), desk.clone());
    let knows = |reign: &Reign| [1, 2].map(|n| reign.book().items::<Vec<_>>([&path(n)]).unwrap().len());
    let decided = |reign: &Reign| reign.core().state().item(&path(2)).is_some();
    let asking = thread::spawn(move || block_on(asking.ask(move |reign| (knows(reign), decided(reign)))));
    thread::sleep(Duration::from_millis(50));
    block_on(more.bring(found(&path(2))));
    thread::sleep(Duration::from_millis(50));
    drop(held);
    assert_eq!(asking.join().unwrap(), Some(([1, 0], false)));
    drop((desk, more));
    reign.join().unwrap().unwrap();
}

/// A reign with a build that an agent has, so that a slot may come free.
fn busy() -> (tempfile::TempDir, Reign) {
    let (agent, epoch) = (AgentId::new(), Epoch { generation: Generation(1), n: 1 });
    let lease = |build| Lease { attempt: AttemptId::derived(build, epoch), agent, epoch, until: Heard(u64::MAX) };
    let mut build = samples::of(1, "x", BuildState::Waiting { missing: 1 });
    build.state = BuildState::Leased(lease(build.id));
    let (folder, book) = samples::open(&[build], &[]);
    (folder, Reign::over(&book))
}

fn in_no_hurry(n: u8) -> Work {
    Work::Enter(Box::new(Piece { input: found_among_many(n), then: None }))
}

/// Whether this was decided about.
fn knows(reign: &Reign, n: u8) -> bool {
    reign.core().state().item(&path(n)).is_some()
}

/// What is being written is committed.
fn written(reign: &mut Reign, deciding: &mut Batch) {
    reign.scribe.wait().unwrap();
    reign.written(deciding).unwrap();
}

#[test]
fn while_a_slot_may_come_free_a_large_piece_is_written_before_the_next_is_decided() {
    let (_folder, mut reign) = busy();
    let mut deciding = Batch::default();
    reign.work([1, 2].map(in_no_hurry).into_iter(), &mut deciding).unwrap();
    assert!(reign.writing.is_some() && knows(&reign, 1) && !knows(&reign, 2));
    written(&mut reign, &mut deciding);
    assert!(reign.writing.is_some() && knows(&reign, 2));
}

#[test]
fn on_an_idle_farm_each_piece_is_decided_while_the_one_before_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut reign = Reign::over(&Book::open(folder.path()).unwrap());
    let mut deciding = Batch::default();
    reign.work([in_no_hurry(1)].into_iter(), &mut deciding).unwrap();
    for n in 2..5 {
        let tick = Work::Decide(Box::new(Piece { input: Input::Tick, then: None }));
        reign.work([tick, in_no_hurry(n)].into_iter(), &mut deciding).unwrap();
        assert!(reign.writing.is_some() && knows(&reign, n));
        written(&mut reign, &mut deciding);
    }
}

#[test]
fn one_commit_is_decided_ahead_and_no_more_goes_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut reign = Reign::over(&Book::open(folder.path()).unwrap());
    let mut deciding = Batch::default();
    for n in 1..4 {
        reign.work([in_no_hurry(n)].into_iter(), &mut deciding).unwrap();
    }
    assert!(knows(&reign, 2) && !knows(&reign, 3));
}

#[test]
fn no_piece_is_decided_ahead_of_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut reign = Reign::over(&Book::open(folder.path()).unwrap());
    let mut deciding = Batch::default();
    let much = Piece { input: found_among_many(1), then: None };
    let asked = [Work::Ask(Box::new(|_| ())), Work::Decide(Box::new(much)), in_no_hurry(2)];
    reign.work(asked.into_iter(), &mut deciding).unwrap();
    assert!(reign.writing.is_some() && !knows(&reign, 2));
    written(&mut reign, &mut deciding);
    assert!(knows(&reign, 2));
}

#[test]
fn short_pieces_go_together() {
    let (_folder, mut reign) = busy();
    let mut deciding = Batch::default();
    let short = |n| Work::Enter(Box::new(Piece { input: found(&path(n)), then: None }));
    reign.work([in_no_hurry(1)].into_iter().chain([2, 3].map(short)), &mut deciding).unwrap();
    assert!(reign.writing.is_some() && !knows(&reign, 2));
    reign.scribe.wait().unwrap();
    reign.writing = None;
    reign.enter_next(&mut deciding).unwrap();
    assert!(knows(&reign, 2) && knows(&reign, 3));
}

#[test]
fn however_much_else_there_is_a_piece_has_its_turn() {
    let (_folder, mut reign) = busy();
    let mut deciding = Batch::default();
    let much_else = |n| [Work::Decide(Box::new(Piece { input: found_among_many(n), then: None }))].into_iter();
    reign.work(much_else(1).chain([in_no_hurry(2)]), &mut deciding).unwrap();
    let goes_along = (3..10).find(|n| {
        reign.work(much_else(*n), &mut deciding).unwrap();
        assert!(reign.writing.is_some());
        written(&mut reign, &mut deciding);
        knows(&reign, 2)
    });
    assert_eq!(goes_along, Some(4), "two that are long go before it");
}

#[test]
fn what_was_in_no_hurry_is_committed_before_the_end() {
    let (_folder, reign) = busy();
    let (book, (desk, inbox)) = (reign.book().clone(), Desk::new());
    let held = book.hold();
    let reign = thread::spawn(move || reign.run(inbox));
    let entering = thread::spawn(move || block_on(desk.enter((1..6).map(found_among_many))));
    thread::sleep(Duration::from_millis(50));
    drop(held);
    entering.join().unwrap();
    reign.join().unwrap().unwrap();
    assert_eq!(book.items::<Vec<_>>(&[1, 2, 3, 4, 5].map(path)).unwrap().len(), 5);
}
