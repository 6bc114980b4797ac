//! What was recorded when the journal was a table is brought to its tables, once.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::destinations::Destinations;
use super::journal::{Key, Row, Rows};
use super::tables::*;
use super::{BookError, decode};

const INSIDE: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");

pub(super) fn take_over(t: &WriteTransaction) -> Result<(), BookError> {
    let mut rows = Rows::new();
    for line in t.open_table(INSIDE)?.iter()? {
        rows.extend(decode::<Vec<(Key, Row)>>("a line of the journal", line?.1.value())?);
    }
    Destinations::open(t)?.put_all(rows.iter())?;
    t.delete_table(INSIDE)?;
    let mut meta = t.open_table(META)?;
    let last = meta.get(LAST_RECORD)?.map_or(0, |value| value.value());
    meta.insert(CARRIED, last)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use drover_messages::ClientId;
    use redb::{ReadableDatabase, TableHandle};
    use serde_bytes::ByteBuf;

    use super::super::Book;
    use super::*;

    #[test]
    fn rows_of_a_journal_inside_come_to_their_tables_and_the_state_goes_on() {
        let (folder, client) = (tempfile::tempdir().unwrap(), ClientId::new());
        let book = Book::open(folder.path()).unwrap();
        let transaction = book.database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(META).unwrap();
            for (key, value) in [(SCHEMA, 5), (LAST_RECORD, 9)] {
                meta.insert(key, value).unwrap();
            }
            let mut inside = transaction.open_table(INSIDE).unwrap();
            for (number, says) in [(8, "older"), (9, "newer")] {
                let rows = [(Key::Used(client), Some(ByteBuf::from(says)))];
                inside.insert(number, rmp_serde::to_vec_named(&rows).unwrap().as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
        drop(book);

        let book = Book::open(folder.path()).unwrap();
        assert_eq!(book.journal.begin().newest().number, 9);
        let read = book.database.begin_read().unwrap();
        assert_eq!(read.open_table(USED).unwrap().get(client.uuid().into_bytes()).unwrap().unwrap().value(), b"newer");
        assert!(read.list_tables().unwrap().all(|table| table.name() != INSIDE.name()));
    }
}
