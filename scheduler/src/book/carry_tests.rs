//! Whatever is appended and carried, the newest row is what is read.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use drover_messages::{BuildId, Generation, Timestamp};
use drover_scheduler_core::Heard;
use redb::{ReadableDatabase, ReadableTableMetadata};

use super::super::journal::{BEHIND_AT_MOST, BYTES_TOGETHER, CARRIED_TOGETHER, Key, Row};
use super::super::journal_samples::*;
use super::super::{Record, encode};
use super::*;
use crate::fresh::News;

/// What a commit tells that says nothing else.
fn record(book: &Book) -> (Key, Row) {
    let record = Record { generation: Generation(1), heard: Heard(0), wall: Timestamp(0), events: Vec::new() };
    (Key::Record(book.journal.begin().newest().number + 1), Some(encode(&record).unwrap().into()))
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
        book.forget_before(None).unwrap();
        assert!(!needs_repair(folder.path()));
    }
    append(&book, vec![(key(1), says("b"))]);
    wish(&book);
    assert!(needs_repair(folder.path()), "nothing shows that the others would be seen");
    book.carry_if_due(&mut 0).unwrap();
    assert!(!book.is_tidy() && !needs_repair(folder.path()), "whoever builds all the time is never at rest");
}

#[test]
fn who_writes_waits_where_too_much_is_behind() {
    let (_folder, book) = open();
    append(&book, (0..=BEHIND_AT_MOST as u32).map(|n| (key(n), says("a"))).collect());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| wish(&book));
        thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        book.carry_all();
        waiting.join().unwrap();
    });
}
