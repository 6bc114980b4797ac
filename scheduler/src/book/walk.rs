//! Rows of a table for many keys: for keys that come in order it goes on through the table, and looks anew behind a gap only.

use redb::{AccessGuard, Key, Range, ReadOnlyTable, StorageError, Value};

/// Rows that are passed over rather than looked for: to look costs as much as to read so many.
const PASSED_OVER: usize = 16;

type Row<'t, K, V> = (AccessGuard<'t, K>, AccessGuard<'t, V>);

/// A way through a table.
pub(super) struct Walk<'t, K: Key + 'static, V: Value + 'static> {
    table: &'t ReadOnlyTable<K, V>,
    rows: Range<'t, K, V>,
    /// The first row that was not passed.
    next: Option<Row<'t, K, V>>,
    /// The key that was asked for last.
    asked: Vec<u8>,
}

impl<'t, K: Key + 'static, V: Value + 'static> Walk<'t, K, V> {
    pub(super) fn through(table: &'t ReadOnlyTable<K, V>) -> Result<Self, StorageError> {
        let mut rows = table.range::<K::SelfType<'_>>(..)?;
        let next = rows.next().transpose()?;
        Ok(Self { table, rows, next, asked: Vec::new() })
    }

    /// The row of a key, if there is one.
    pub(super) fn row<'k>(&mut self, key: K::SelfType<'k>) -> Result<Option<&AccessGuard<'t, V>>, StorageError> {
        let bytes = K::as_bytes(&key).as_ref().to_vec();
        let is_back = !self.asked.is_empty() && K::compare(&bytes, &self.asked).is_lt();
        if is_back || !self.pass(&bytes)? {
            self.rows = self.table.range::<K::SelfType<'k>>(key..)?;
            self.next = self.rows.next().transpose()?;
        }
        self.asked = bytes;
        let is_it = |row: &&Row<'t, K, V>| K::compare(K::as_bytes(&row.0.value()).as_ref(), &self.asked).is_eq();
        Ok(self.next.as_ref().filter(is_it).map(|(_, value)| value))
    }

    /// Passes the rows before a key; false where there are too many.
    fn pass(&mut self, key: &[u8]) -> Result<bool, StorageError> {
        for _ in 0..PASSED_OVER {
            let is_before = |row: &Row<'t, K, V>| K::compare(K::as_bytes(&row.0.value()).as_ref(), key).is_lt();
            if !self.next.as_ref().is_some_and(is_before) {
                return Ok(true);
            }
            self.next = self.rows.next().transpose()?;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, ReadableDatabase, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<u64, u64> = TableDefinition::new("of-multiples-of-three");

    #[test]
    fn each_key_has_its_row_in_whatever_order_they_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::create(folder.path().join("redb")).unwrap();
        let write = database.begin_write().unwrap();
        for n in 0..200 {
            write.open_table(TABLE).unwrap().insert(3 * n, n).unwrap();
        }
        write.commit().unwrap();
        let read = database.begin_read().unwrap();
        let table = read.open_table(TABLE).unwrap();
        let mut walk = Walk::through(&table).unwrap();
        for key in [0, 0, 1, 2, 3, 30, 31, 400, 402, 597, 598, 700, 701, 402, 3, 2, 0, 9] {
            let row = walk.row(key).unwrap().map(|row| row.value());
            assert_eq!(row, (key % 3 == 0 && key < 600).then_some(key / 3), "{key}");
        }
    }
}
