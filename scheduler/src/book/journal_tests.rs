//! Whatever is appended, carried and read again after a crash: the newest row is what is read.

use drover_messages::ClientId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::ReadableDatabase;

use super::super::Book;
use super::super::tables::{COURSES, USED};
use super::*;

fn key(n: u32) -> Key {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&n.to_be_bytes());
    Key::Used(ClientId::from_uuid(uuid::Uuid::from_bytes(id)))
}

fn says(text: &str) -> Row {
    Some(ByteBuf::from(text.as_bytes()))
}

fn append(book: &Book, line: u64, rows: Vec<(Key, Row)>) {
    let mut writing = book.journal.begin();
    let transaction = writing.transaction(&book.database, false).unwrap();
    writing.append(&transaction, line, &rows).unwrap();
    transaction.commit().unwrap();
    writing.committed(rows, false);
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

fn lines(book: &Book) -> usize {
    book.database.begin_read().unwrap().open_table(JOURNAL).unwrap().iter().unwrap().count()
}

#[test]
fn a_row_is_read_from_the_journal_until_it_is_in_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    append(&book, 1, vec![(key(1), says("a"))]);
    append(&book, 2, vec![(key(1), says("b"))]);
    assert_eq!((read(&book, &key(1)), in_table(&book, &key(1))), (says("b"), None));
    // It sets out, arrives, and its lines are taken out.
    (0..3).for_each(|_| book.tidy().unwrap());
    assert_eq!((read(&book, &key(1)), in_table(&book, &key(1)), lines(&book)), (says("b"), says("b"), 0));
    append(&book, 3, vec![(key(1), None)]);
    assert_eq!((read(&book, &key(1)), in_table(&book, &key(1)), lines(&book)), (None, says("b"), 1));
}

#[test]
fn commits_carry_what_fills_the_journal_and_it_stays_short() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let some = CARRIED_TOGETHER as u32 / 4;
    for line in 1..41 {
        let first = line as u32 % 8 * some;
        append(&book, line, (first..first + some).map(|n| (key(n), says(&line.to_string()))).collect());
    }
    assert!(lines(&book) <= 12, "{} lines", lines(&book));
    let newest_of = |part: u32| (1..41).rev().find(|line| line % 8 == part).unwrap();
    assert!((0..8 * some).all(|n| read(&book, &key(n)) == says(&newest_of(n / some).to_string())));
}

#[test]
fn whoever_writes_the_same_row_for_ever_fills_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    for line in 1..=LINES_TOGETHER as u64 + 500 {
        let (mut writing, rows) = (book.journal.begin(), vec![(key(1), says("a"))]);
        let mut transaction = writing.transaction(&book.database, false).unwrap();
        // The disk is not what this is about.
        transaction.set_durability(redb::Durability::None).unwrap();
        writing.append(&transaction, line, &rows).unwrap();
        transaction.commit().unwrap();
        writing.committed(rows, false);
    }
    assert!(lines(&book) <= LINES_TOGETHER, "{} lines", lines(&book));
}

#[test]
fn the_newest_row_is_read_whatever_was_carried_and_after_any_crash() {
    for seed in 0..20 {
        let mut dice = StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().unwrap();
        let mut book = Book::open(folder.path()).unwrap();
        let mut newest: BTreeMap<Key, Row> = BTreeMap::new();
        for line in 1..60 {
            match dice.random_range(0..10) {
                0 => {
                    drop(book);
                    book = Book::open(folder.path()).unwrap();
                    assert_eq!(lines(&book), 0);
                }
                1..4 => book.tidy().unwrap(),
                _ => {
                    let row = |dice: &mut StdRng| {
                        let row = if dice.random_ratio(1, 3) { None } else { says(&line.to_string()) };
                        (key(dice.random_range(0..30)), row)
                    };
                    let rows: BTreeMap<Key, Row> = (0..dice.random_range(0..8)).map(|_| row(&mut dice)).collect();
                    newest.extend(rows.clone());
                    append(&book, line, rows.into_iter().collect());
                }
            }
            for (key, row) in &newest {
                assert_eq!(read(&book, key), *row, "seed {seed}, line {line}");
            }
        }
    }
}

#[test]
fn each_kind_of_row_comes_to_a_table_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let build = BuildId::new();
    append(&book, 1, vec![(Key::Course(build), says("course")), (Key::Open(build), says(""))]);
    drop(book);
    let book = Book::open(folder.path()).unwrap();
    let id = build.uuid().into_bytes();
    let read = book.database.begin_read().unwrap();
    assert_eq!(read.open_table(COURSES).unwrap().get(id).unwrap().unwrap().value(), b"course");
    assert!(read.open_table(super::super::tables::OPEN).unwrap().get(id).unwrap().is_some());
    assert_eq!(read.open_table(USED).unwrap().iter().unwrap().count(), 0);
}

/// Whether a start would have to read everything, if the process were killed now.
fn needs_repair(folder: &std::path::Path) -> bool {
    let left = folder.join("left.redb");
    std::fs::copy(folder.join("state.redb"), &left).unwrap();
    redb::Builder::new().set_repair_callback(|repair| repair.abort()).open(left).is_err()
}

#[test]
fn a_farm_at_rest_starts_without_repair_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    for n in 1..3 {
        append(&book, n, vec![(key(1), says("a"))]);
        assert!(needs_repair(folder.path()));
        // Whether or not there is more to be carried.
        for _ in 0..4 {
            book.tidy().unwrap();
            assert!(!needs_repair(folder.path()));
        }
    }
    book.forget_before(drover_messages::Timestamp(0)).unwrap();
    assert!(needs_repair(folder.path()));
}
