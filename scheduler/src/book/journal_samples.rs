//! States with something in their journals, and what a kill leaves of them, for tests.

use std::fs;
use std::path::{Path, PathBuf};

use drover_messages::{ClientId, Generation, Timestamp, WishId};
use drover_scheduler_core::{Change, Heard, State};
use redb::ReadableDatabase;
use serde_bytes::ByteBuf;
use tempfile::TempDir;

use super::journal::{Key, Line, Load, Newest, Row};
use super::segment::{self, Segment};
use super::tables::USED;
use super::{Book, Page, Record, Sheet};
use crate::told::Told;

pub(super) fn key(n: u32) -> Key {
    let mut id = [0; 16];
    id[12..].copy_from_slice(&n.to_be_bytes());
    Key::Used(ClientId::from_uuid(uuid::Uuid::from_bytes(id)))
}

pub(super) fn says(text: &str) -> Row {
    Some(ByteBuf::from(text.as_bytes()))
}

pub(super) fn open() -> (TempDir, Book) {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    (folder, book)
}

pub(super) fn line(book: &Book, in_tables: bool, rows: &[(Key, Row)]) -> Newest {
    let mut writing = book.journal.begin();
    let number = writing.newest().number + 1;
    let newest = Newest { number, heard: 10 * number, told: Told { record: number - 1, stream: 7 } };
    writing.append(&Line { newest, in_tables, rows }).unwrap();
    newest
}

pub(super) fn append(book: &Book, rows: Vec<(Key, Row)>) {
    let newest = line(book, false, &rows);
    book.journal.begin().committed(newest, rows);
}

/// A commit that says something in tables.
pub(super) fn wish(book: &Book) -> WishId {
    let (wish, state) = (WishId::new(), State::default());
    let record = Record { generation: Generation(1), heard: Heard(0), wall: Timestamp(0), events: Vec::new() };
    let sheet = Sheet::of(record, [Change::Wished(wish)], &Page::default(), &state).unwrap();
    book.commit(sheet, Told::default()).unwrap();
    wish
}

/// As a reader sees it.
pub(super) fn read(book: &Book, key: &Key) -> Row {
    let recent = book.journal.look([key.clone()].into_iter()).remove(0);
    recent.unwrap_or_else(|| in_table(book, key))
}

pub(super) fn in_table(book: &Book, key: &Key) -> Row {
    let Key::Used(client) = key else { unreachable!() };
    let table = book.database.begin_read().unwrap().open_table(USED).unwrap();
    let row = table.get(client.uuid().into_bytes()).unwrap();
    row.map(|row| ByteBuf::from(row.value()))
}

/// What a kill would leave now.
pub(super) fn left(folder: &Path) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    fs::copy(folder.join("state.redb"), left.path().join("state.redb")).unwrap();
    copy_journal(folder, left.path());
    left
}

pub(super) fn copy_journal(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("journal")).unwrap();
    for segment in segments(from) {
        fs::copy(&segment, to.join("journal").join(segment.file_name().unwrap())).unwrap();
    }
}

pub(super) fn segments(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.join("journal");
    segment::all(&folder).unwrap().iter().map(|segment| segment.path(&folder)).collect()
}

/// What came last sets out, and is not carried yet.
pub(super) fn set_out(book: &Book) -> Option<Load> {
    let mut seen = book.journal.begin().newest().number;
    let next = book.journal.begin().is_due(&mut seen)?;
    let next = Segment::begin(book.journal.folder(), next).unwrap();
    Some(book.journal.begin().set_out(next))
}
