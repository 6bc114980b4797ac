//! Whatever is appended, carried and read again after a kill: the newest row is what is read.

use std::fs;
use std::path::Path;

use drover_messages::{ClientId, Generation, Timestamp, WishId};
use drover_scheduler_core::{Change, Heard, State};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::{ReadableDatabase, ReadableTableMetadata};
use tempfile::TempDir;

use super::super::destinations::Destinations;
use super::super::tables::{COURSES, OPEN, USED};
use super::super::{Book, Page, Record, Sheet, carry, segment};
use super::*;

fn key(n: u32) -> Key {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&n.to_be_bytes());
    Key::Used(ClientId::from_uuid(uuid::Uuid::from_bytes(id)))
}

fn says(text: &str) -> Row {
    Some(ByteBuf::from(text.as_bytes()))
}

fn open() -> (TempDir, Book) {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    (folder, book)
}

fn line(book: &Book, in_tables: bool, rows: &[(Key, Row)]) -> Newest {
    let mut writing = book.journal.begin();
    let newest = Newest { number: writing.newest().number + 1, ..Newest::default() };
    writing.append(&Line { newest, in_tables, rows }).unwrap();
    newest
}

fn append(book: &Book, rows: Vec<(Key, Row)>) {
    let newest = line(book, false, &rows);
    book.journal.begin().committed(newest, rows);
}

/// A commit that says something in tables.
fn wish(book: &Book) -> WishId {
    let (wish, state) = (WishId::new(), State::default());
    let record = Record { generation: Generation(1), heard: Heard(0), wall: Timestamp(0), events: Vec::new() };
    let sheet = Sheet::of(record, [Change::Wished(wish)], &Page::default(), &state).unwrap();
    book.commit(sheet, Told::default()).unwrap();
    wish
}

/// As a reader sees it.
fn read(book: &Book, key: &Key) -> Row {
    let recent = book.journal.look([key.clone()].into_iter()).remove(0);
    recent.unwrap_or_else(|| in_table(book, key))
}

fn in_table(book: &Book, key: &Key) -> Row {
    let Key::Used(client) = key else { unreachable!() };
    let table = book.database.begin_read().unwrap().open_table(USED).unwrap();
    let row = table.get(client.uuid().into_bytes()).unwrap();
    row.map(|row| ByteBuf::from(row.value()))
}

/// What a kill would leave now.
fn left(folder: &Path) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    fs::copy(folder.join("state.redb"), left.path().join("state.redb")).unwrap();
    copy_journal(folder, left.path());
    left
}

fn copy_journal(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("journal")).unwrap();
    for segment in segments(from) {
        fs::copy(&segment, to.join("journal").join(segment.file_name().unwrap())).unwrap();
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    segment::all(&folder.join("journal")).unwrap()
}

fn is_not_ours(opened: Result<Book, BookError>) -> bool {
    matches!(opened, Err(BookError::NotOurs { .. }))
}

#[test]
fn a_row_is_read_from_the_journal_until_it_is_in_its_table() {
    let (folder, book) = open();
    append(&book, vec![(key(1), says("a"))]);
    append(&book, vec![(key(1), says("b"))]);
    assert_eq!((read(&book, &key(1)), in_table(&book, &key(1))), (says("b"), None));
    book.carry_all();
    assert_eq!((read(&book, &key(1)), in_table(&book, &key(1))), (says("b"), says("b")));
    assert!(book.is_tidy() && segments(folder.path()).is_empty());
    append(&book, vec![(key(1), None)]);
    assert_eq!((read(&book, &key(1)), in_table(&book, &key(1))), (None, says("b")));
    assert_eq!(segments(folder.path()).len(), 1);
}

#[test]
fn rows_wait_until_there_are_many_or_there_is_time() {
    let (_folder, book) = open();
    let mut seen = 0;
    for n in 0..3 {
        append(&book, vec![(key(n), says("a"))]);
        book.carry_if_due(&mut seen).unwrap();
        assert!(!book.is_tidy());
    }
    book.carry_if_due(&mut seen).unwrap();
    assert!(book.is_tidy());
    append(&book, (0..CARRIED_TOGETHER as u32).map(|n| (key(n), says("b"))).collect());
    book.carry_if_due(&mut seen).unwrap();
    assert!(book.is_tidy());
}

#[test]
fn whoever_writes_the_same_row_for_ever_fills_no_journal() {
    let (_folder, book) = open();
    let mut seen = 0;
    let large = "x".repeat(BYTES_TOGETHER as usize / 4);
    for _ in 0..3 {
        append(&book, vec![(key(1), says(&large))]);
        book.carry_if_due(&mut seen).unwrap();
        assert!(!book.is_tidy());
    }
    append(&book, vec![(key(1), says(&large))]);
    book.carry_if_due(&mut seen).unwrap();
    assert!(book.is_tidy());
}

#[test]
fn the_newest_row_is_read_whatever_was_carried_and_after_any_kill() {
    for seed in 0..20 {
        let mut dice = StdRng::seed_from_u64(seed);
        let (mut folder, mut book) = open();
        let (mut newest, mut wishes, mut commits): (BTreeMap<Key, Row>, Vec<WishId>, u64) = Default::default();
        for step in 0..60 {
            match dice.random_range(0..12) {
                0 => {
                    let killed = left(folder.path());
                    (book, folder) = (Book::open(killed.path()).unwrap(), killed);
                    assert!(book.is_tidy() && segments(folder.path()).is_empty());
                }
                // A kill in the middle of carrying, or behind it, before the segment is thrown away.
                1 => {
                    let load = book.journal.begin().set_out();
                    if let Some(load) = load {
                        let transaction = carry::begin(&book.database, true).unwrap();
                        let some = dice.random_range(0..=load.rows.len());
                        Destinations::open(&transaction).unwrap().put_all(load.rows.iter().take(some)).unwrap();
                        if some == load.rows.len() {
                            carry::all_carried(&transaction, load.newest).unwrap();
                        }
                        transaction.commit().unwrap();
                        let killed = left(folder.path());
                        (book, folder) = (Book::open(killed.path()).unwrap(), killed);
                    }
                }
                // A kill before what was said in tables is committed.
                2 => {
                    line(&book, true, &[(key(0), says("lost"))]);
                    let killed = left(folder.path());
                    (book, folder) = (Book::open(killed.path()).unwrap(), killed);
                }
                3..5 => book.carry_all(),
                5 => {
                    wishes.push(wish(&book));
                    commits += 1;
                }
                _ => {
                    let row = |dice: &mut StdRng| {
                        let row = if dice.random_ratio(1, 3) { None } else { says(&step.to_string()) };
                        (key(dice.random_range(0..30)), row)
                    };
                    let rows: BTreeMap<Key, Row> = (0..dice.random_range(1..8)).map(|_| row(&mut dice)).collect();
                    newest.extend(rows.clone());
                    append(&book, rows.into_iter().collect());
                    commits += 1;
                }
            }
            for (key, row) in &newest {
                assert_eq!(read(&book, key), *row, "seed {seed}, step {step}");
            }
            assert!(wishes.iter().all(|wish| book.has_heard(*wish).unwrap()), "seed {seed}, step {step}");
            assert_eq!(book.journal.begin().newest().number, commits, "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_start_that_is_killed_before_the_old_journal_is_gone_is_begun_again() {
    let (folder, book) = open();
    append(&book, vec![(key(1), says("a"))]);
    let kept = left(folder.path());
    drop(book);
    let book = Book::open(folder.path()).unwrap();
    append(&book, vec![(key(1), says("b"))]);
    book.carry_all();
    drop(book);
    copy_journal(kept.path(), folder.path());
    let book = Book::open(folder.path()).unwrap();
    assert_eq!(read(&book, &key(1)), says("b"));
}

#[test]
fn a_state_does_not_open_without_its_journal() {
    let (folder, book) = open();
    append(&book, vec![(key(1), says("a"))]);
    wish(&book);
    let killed = left(folder.path());
    fs::remove_dir_all(killed.path().join("journal")).unwrap();
    assert!(is_not_ours(Book::open(killed.path())));
    copy_journal(folder.path(), killed.path());
    assert_eq!(read(&Book::open(killed.path()).unwrap(), &key(1)), says("a"));
}

#[test]
fn a_state_does_not_open_with_the_journal_of_another() {
    // Of another farm; of the same one, when it was further; of the same one, when it had gone on from a copy.
    let (folder, book) = open();
    append(&book, vec![(key(1), says("a"))]);
    let first = left(folder.path());
    book.carry_all();
    append(&book, vec![(key(1), says("b"))]);
    let further = left(folder.path());
    let again = Book::open(first.path()).unwrap();
    append(&again, vec![(key(1), says("c"))]);
    let gone_on = left(first.path());
    let (other_folder, other) = open();
    append(&other, vec![(key(1), says("d"))]);
    append(&other, vec![(key(1), says("d"))]);

    let with_journal_of = |journal: &Path, state: &Path| {
        let mixed = tempfile::tempdir().unwrap();
        fs::copy(state.join("state.redb"), mixed.path().join("state.redb")).unwrap();
        copy_journal(journal, mixed.path());
        Book::open(mixed.path()).map(|book| read(&book, &key(1)))
    };
    let refused = |result: Result<Row, BookError>| matches!(result, Err(BookError::NotOurs { .. }));
    assert!(refused(with_journal_of(other_folder.path(), further.path())));
    assert!(refused(with_journal_of(further.path(), first.path())));
    assert!(refused(with_journal_of(gone_on.path(), further.path())));
    assert_eq!(with_journal_of(further.path(), further.path()).unwrap(), says("b"));
}

#[test]
fn a_copy_has_what_is_in_the_journal() {
    let (_folder, book) = open();
    append(&book, vec![(key(1), says("a")), (key(2), says("a"))]);
    let load = book.journal.begin().set_out();
    append(&book, vec![(key(2), says("b")), (key(3), None)]);
    let copied = tempfile::tempdir().unwrap();
    book.copy_to(&copied.path().join("state.redb")).unwrap();
    drop(load);
    let copy = Book::open(copied.path()).unwrap();
    assert_eq!([1, 2, 3].map(|n| in_table(&copy, &key(n))), [says("a"), says("b"), None]);
    assert_eq!(copy.journal.begin().newest(), book.journal.begin().newest());
}

#[test]
fn each_kind_of_row_comes_to_a_table_of_its_own() {
    let (folder, book) = open();
    let build = BuildId::new();
    append(&book, vec![(Key::Course(build), says("course")), (Key::Open(build), says(""))]);
    drop(book);
    let book = Book::open(folder.path()).unwrap();
    let id = build.uuid().into_bytes();
    let read = book.database.begin_read().unwrap();
    assert_eq!(read.open_table(COURSES).unwrap().get(id).unwrap().unwrap().value(), b"course");
    assert!(read.open_table(OPEN).unwrap().get(id).unwrap().is_some());
    assert!(read.open_table(USED).unwrap().is_empty().unwrap());
}

/// Whether a start would have to read everything, if the process were killed now.
fn needs_repair(folder: &Path) -> bool {
    let left = left(folder);
    redb::Builder::new().set_repair_callback(|repair| repair.abort()).open(left.path().join("state.redb")).is_err()
}

#[test]
fn a_farm_that_builds_starts_without_repair_after_a_kill() {
    let (folder, book) = open();
    for _ in 0..2 {
        append(&book, vec![(key(1), says("a"))]);
        assert!(!needs_repair(folder.path()));
        book.carry_all();
        assert!(!needs_repair(folder.path()));
        book.forget_before(Timestamp(0)).unwrap();
        assert!(!needs_repair(folder.path()));
    }
    wish(&book);
    assert!(needs_repair(folder.path()), "nothing shows that the others would be seen");
    book.carry_all();
    assert!(!needs_repair(folder.path()));
}
