//! Whatever is appended, carried and read again after a kill: the newest row is what is read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use drover_messages::{BuildId, ClientId, Generation, Timestamp, WishId};
use drover_scheduler_core::{Change, Heard, State};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::{ReadableDatabase, ReadableTableMetadata};
use serde_bytes::ByteBuf;
use tempfile::TempDir;

use super::super::journal::{BYTES_TOGETHER, CARRIED_TOGETHER, Key, Row};
use super::super::{Page, Record, Sheet, encode};
use super::*;
use crate::fresh::News;

fn key(n: u32) -> Key {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&n.to_be_bytes());
    Key::Used(ClientId::from_uuid(uuid::Uuid::from_bytes(id)))
}

/// What a commit tells that says nothing else.
fn record(book: &Book) -> (Key, Row) {
    let record = Record { generation: Generation(1), heard: Heard(0), wall: Timestamp(0), events: Vec::new() };
    (Key::Record(book.journal.begin().newest().number + 1), Some(encode(&record).unwrap().into()))
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
    let number = writing.newest().number + 1;
    let newest = Newest { number, heard: 10 * number, told: Told { record: number - 1, stream: 7 } };
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
    let folder = folder.join("journal");
    segment::all(&folder).unwrap().iter().map(|segment| segment.path(&folder)).collect()
}

/// What came last sets out, and is not carried yet.
fn set_out(book: &Book) -> Option<Load> {
    let mut seen = book.journal.begin().newest().number;
    let next = book.journal.begin().is_due(&mut seen)?;
    let next = Segment::begin(book.journal.folder(), next).unwrap();
    Some(book.journal.begin().set_out(next))
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
    assert!(book.is_tidy());
    append(&book, vec![(key(1), None)]);
    assert_eq!((read(&book, &key(1)), in_table(&book, &key(1))), (None, says("b")));
    assert_eq!(segments(folder.path()).len(), 1, "of what was carried nothing is left");
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
                    assert!(book.is_tidy() && segments(folder.path()).len() == 1);
                }
                // A kill in the middle of carrying, or behind it, before the segment is thrown away; with more in the next, or not.
                1 => {
                    if let Some(load) = set_out(&book) {
                        let transaction = begin(&book.database, true).unwrap();
                        let some = dice.random_range(0..=load.rows.len());
                        Destinations::open(&transaction).unwrap().put_all(load.rows.iter().take(some)).unwrap();
                        if some == load.rows.len() {
                            all_carried(&transaction, load.newest).unwrap();
                        }
                        transaction.commit().unwrap();
                        for _ in 0..dice.random_range(0..3) {
                            newest.insert(key(0), says(&step.to_string()));
                            append(&book, vec![(key(0), says(&step.to_string()))]);
                            commits += 1;
                        }
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
            let now = book.journal.begin().newest();
            assert_eq!(now.number, commits, "seed {seed}, step {step}");
            assert!(now.told.stream == 7 || now == Newest { number: commits, ..Newest::default() }, "seed {seed}, step {step}");
        }
    }
}

#[test]
fn how_far_the_state_was_is_known_after_a_kill() {
    let (folder, book) = open();
    append(&book, vec![(key(1), says("a"))]);
    set_out(&book).unwrap();
    append(&book, vec![(key(1), says("b"))]);
    let killed = left(folder.path());
    let expected = Newest { number: 2, heard: 20, told: Told { record: 1, stream: 7 } };
    for start in ["after the kill", "with nothing to carry"] {
        assert_eq!(Book::open(killed.path()).unwrap().journal.begin().newest(), expected, "a start {start}");
    }
}

#[test]
fn a_start_that_is_killed_before_the_old_journal_is_gone_is_begun_again() {
    let (folder, book) = open();
    append(&book, vec![(key(1), says("a"))]);
    let old = left(folder.path());
    drop(book);
    let book = Book::open(folder.path()).unwrap();
    append(&book, vec![(key(1), says("b"))]);
    drop(book);
    copy_journal(old.path(), folder.path());
    assert_eq!(read(&Book::open(folder.path()).unwrap(), &key(1)), says("b"));
    // Now it is gone for good: this is one from elsewhere.
    copy_journal(old.path(), folder.path());
    assert!(is_not_ours(Book::open(folder.path())));
}

#[test]
fn a_start_that_came_to_nothing_leaves_nothing() {
    let (folder, book) = open();
    append(&book, vec![(key(1), says("a"))]);
    drop(book);
    let begun = Segment::begin(&folder.path().join("journal"), Name::first_of(JournalId(1))).unwrap();
    let book = Book::open(folder.path()).unwrap();
    assert_eq!(read(&book, &key(1)), says("a"));
    assert!(!begun.name().path(&folder.path().join("journal")).exists());
}

#[test]
fn a_state_does_not_open_without_its_journal() {
    for says_in_tables in [false, true] {
        let (folder, book) = open();
        append(&book, vec![(key(1), says("a"))]);
        if says_in_tables {
            wish(&book);
        }
        let killed = left(folder.path());
        fs::remove_dir_all(killed.path().join("journal")).unwrap();
        assert!(is_not_ours(Book::open(killed.path())));
        copy_journal(folder.path(), killed.path());
        assert_eq!(read(&Book::open(killed.path()).unwrap(), &key(1)), says("a"));
    }
}

#[test]
fn a_state_does_not_open_with_the_journal_of_another() {
    // One that is further; an earlier copy of it; what went on from that copy; a copy that needs no journal; another farm.
    let (further, book) = open();
    append(&book, vec![(key(1), says("a"))]);
    let earlier = left(further.path());
    let copy = tempfile::tempdir().unwrap();
    book.copy_to(&copy.path().join("state.redb")).unwrap();
    book.carry_all();
    append(&book, vec![(key(1), says("b"))]);
    let gone_on = left(earlier.path());
    append(&Book::open(gone_on.path()).unwrap(), vec![(key(1), says("c"))]);
    let (other, other_book) = open();
    append(&other_book, vec![(key(1), says("d"))]);

    let with_journal_of = |journal: &TempDir, state: &TempDir| {
        let mixed = tempfile::tempdir().unwrap();
        fs::copy(state.path().join("state.redb"), mixed.path().join("state.redb")).unwrap();
        copy_journal(journal.path(), mixed.path());
        Book::open(mixed.path()).map(|book| read(&book, &key(1)))
    };
    for (journal, state) in [
        (&other, &further),
        (&further, &earlier),
        (&gone_on, &further),
        (&further, &gone_on),
        (&further, &copy),
        (&copy, &further),
    ] {
        assert!(matches!(with_journal_of(journal, state), Err(BookError::NotOurs { .. })));
    }
    assert_eq!(with_journal_of(&further, &further).unwrap(), says("b"));
    assert_eq!(with_journal_of(&copy, &copy).unwrap(), says("a"));
}

#[test]
fn records_are_read_wherever_they_are_and_thrown_away_long_after_they_were_told() {
    let (_folder, book) = open();
    let tell = || append(&book, vec![record(&book)]);
    let numbers = |after, most| -> Vec<u64> {
        let news: Vec<News> = book.news_after(after, most).unwrap();
        news.iter().map(|news| news.number).collect()
    };
    (0..3).for_each(|_| tell());
    book.carry_all();
    (0..3).for_each(|_| tell());
    let on_its_way = set_out(&book).unwrap();
    (0..3).for_each(|_| tell());
    assert_eq!(numbers(0, 20), Vec::from_iter(1..=9));
    assert_eq!(numbers(2, 5), [3, 4, 5, 6, 7]);
    assert_eq!(numbers(5, 2), [6, 7]);
    assert!(numbers(9, 1).is_empty());

    book.carry(&on_its_way).unwrap();
    let told_up_to = |record| {
        let transaction = begin(&book.database, false).unwrap();
        forget_records(&transaction, Told { record, stream: 7 }).unwrap();
        transaction.commit().unwrap();
    };
    told_up_to(RECORDS_KEPT + 1);
    assert_eq!(numbers(0, 1), [1]);
    told_up_to(RECORDS_KEPT + 4);
    assert_eq!(numbers(0, 1), [4]);
}

#[test]
fn readers_see_what_was_committed_before_they_began_while_others_write_and_carry() {
    const WRITTEN: u32 = 300;
    let (_folder, book) = open();
    let newest = || read(&book, &key(0)).map_or(0, |row| String::from_utf8(row.into_vec()).unwrap().parse::<u32>().unwrap());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for n in 1..=WRITTEN {
                append(&book, vec![(key(0), says(&n.to_string())), (key(n), says("x"))]);
                if n % 10 == 0 {
                    wish(&book);
                }
                assert_eq!(newest(), n);
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                book.carry_all();
            }
        });
        scope.spawn(|| {
            let mut before = 0;
            while !is_over.load(Ordering::Relaxed) {
                let now = newest();
                assert!(now >= before, "{now} after {before}");
                before = now;
            }
        });
        let written = writing.join();
        is_over.store(true, Ordering::Relaxed);
        written.unwrap();
    });
    assert_eq!(newest(), WRITTEN);
}

#[test]
fn a_copy_has_what_is_in_the_journal() {
    let (_folder, book) = open();
    append(&book, vec![(key(1), says("a")), (key(2), says("a"))]);
    let load = set_out(&book);
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
    append(&book, vec![(key(1), says("b"))]);
    wish(&book);
    assert!(needs_repair(folder.path()), "nothing shows that the others would be seen");
    book.carry_if_due(&mut 0).unwrap();
    assert!(!book.is_tidy() && !needs_repair(folder.path()), "whoever builds all the time is never at rest");
}
