//! Whatever was appended and carried before a kill, the newest row is what is read after it; or the state does not open.

use std::collections::BTreeMap;

use drover_messages::WishId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::super::Book;
use super::super::carry::begin;
use super::super::journal::{Key, Row};
use super::super::journal_samples::*;
use super::*;
use crate::told::Told;

fn is_not_ours(opened: Result<Book, BookError>) -> bool {
    matches!(opened, Err(BookError::NotOurs { .. }))
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
fn a_start_that_is_refused_takes_nothing_away() {
    // What goes on elsewhere from a copy with its journal is put in place of the first, and its own journal is forgotten.
    let (first, book) = open();
    append(&book, vec![(key(1), says("a"))]);
    let elsewhere = left(first.path());
    append(&book, vec![(key(1), says("b"))]);
    drop(book);
    drop(Book::open(elsewhere.path()).unwrap());
    let aside = first.path().join("state.redb.old");
    fs::rename(first.path().join("state.redb"), &aside).unwrap();
    fs::copy(elsewhere.path().join("state.redb"), first.path().join("state.redb")).unwrap();
    assert!(is_not_ours(Book::open(first.path())));
    fs::rename(aside, first.path().join("state.redb")).unwrap();
    assert_eq!(read(&Book::open(first.path()).unwrap(), &key(1)), says("b"));
}
