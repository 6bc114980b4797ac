//! The tables to which the rows of the journal belong.

use std::borrow::Borrow;

use redb::{ReadableTable, Table, WriteTransaction};

use super::BookError;
use super::journal::{Key, Row};
use super::tables::*;

type Id = [u8; 16];
type Bytes = &'static [u8];

/// All of them, to be written to.
pub(super) struct Destinations<'t> {
    courses: Table<'t, Id, Bytes>,
    open: Table<'t, Id, ()>,
    items: Table<'t, &'static str, Bytes>,
    owed: Table<'t, Id, Bytes>,
    took: Table<'t, (&'static str, &'static str), Bytes>,
    used: Table<'t, Id, Bytes>,
    records: Table<'t, u64, Bytes>,
}

impl<'t> Destinations<'t> {
    pub(super) fn open(t: &'t WriteTransaction) -> Result<Self, BookError> {
        Ok(Self {
            courses: t.open_table(COURSES)?,
            open: t.open_table(OPEN)?,
            items: t.open_table(ITEMS)?,
            owed: t.open_table(OWED)?,
            took: t.open_table(TOOK)?,
            used: t.open_table(USED)?,
            records: t.open_table(RECORDS)?,
        })
    }

    /// Puts each row where it belongs.
    pub(super) fn put_all<'r>(mut self, rows: impl Iterator<Item = (&'r Key, &'r Row)>) -> Result<(), BookError> {
        for (key, row) in rows {
            let bytes = row.as_ref().map(|row| row.as_slice());
            match key {
                Key::Course(build) => put(&mut self.courses, build.uuid().into_bytes(), bytes),
                Key::Open(build) => put(&mut self.open, build.uuid().into_bytes(), bytes.map(|_| ())),
                Key::Item(path) => put(&mut self.items, path.as_str(), bytes),
                Key::Owed(publication) => put(&mut self.owed, publication.uuid().into_bytes(), bytes),
                Key::Took(package) => put(&mut self.took, (package.system.as_str(), package.name.as_str()), bytes),
                Key::Record(number) => put(&mut self.records, number, bytes),
                Key::Used(client) => put(&mut self.used, client.uuid().into_bytes(), bytes),
            }?;
        }
        Ok(())
    }
}

fn put<'k, 'v, K, V>(
    table: &mut Table<'_, K, V>,
    key: impl Borrow<K::SelfType<'k>>,
    value: Option<impl Borrow<V::SelfType<'v>>>,
) -> Result<(), BookError>
where
    K: redb::Key + 'static,
    V: redb::Value + 'static,
{
    match value {
        Some(value) => drop(table.insert(key, value)?),
        // To look is cheaper than to take out what is not there.
        None if table.get(key.borrow())?.is_some() => drop(table.remove(key)?),
        None => {}
    }
    Ok(())
}
