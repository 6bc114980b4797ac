//! What was recorded when rows spelled out all paths is written anew, once, with numbers.

use drover_scheduler_core::Build;
use redb::{ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::made;
use super::paths::Register;
use super::tables::*;
use super::{BookError, decode};

type Id = [u8; 16];

const SPELLED_OUT: TableDefinition<Id, &[u8]> = TableDefinition::new("builds-spelled-out");

/// Takes the old tables out of the place of those that have numbers.
pub(super) fn put_aside(t: &WriteTransaction) -> Result<(), BookError> {
    match t.rename_table(BUILDS, SPELLED_OUT) {
        // There is nothing of old.
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        renamed => renamed?,
    }
    // It follows from the builds.
    t.delete_table(MAKERS)?;
    Ok(())
}

/// Writes what was put aside into the tables that have numbers.
pub(super) fn take_over(t: &WriteTransaction) -> Result<(), BookError> {
    {
        let old = t.open_table(SPELLED_OUT)?;
        let (mut builds, mut makers, mut register) = (t.open_table(BUILDS)?, t.open_table(MAKERS)?, Register::open(t)?);
        for row in old.iter()? {
            let (id, row) = row?;
            let build: Build = decode("a build", row.value())?;
            builds.insert(id.value(), made::row(&build, &mut register)?.as_slice())?;
            for path in build.products() {
                makers.insert((register.number(path)?, id.value()), ())?;
            }
        }
    }
    t.delete_table(SPELLED_OUT)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use drover_messages::query::AskBuilds;
    use drover_scheduler_core::BuildState;

    use super::super::samples::{of, store_path};
    use super::super::{Book, encode};
    use super::*;

    const MAKERS_BY_PATH: TableDefinition<(&str, Id), ()> = TableDefinition::new("makers");

    /// Records as the last program did that spelled out all paths.
    fn record_spelled_out(folder: &std::path::Path, builds: &[Build]) {
        let database = redb::Database::create(folder.join("state.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("schema", 4).unwrap();
        for build in builds {
            let id = build.id.uuid().into_bytes();
            transaction.open_table(BUILDS).unwrap().insert(id, encode(build).unwrap().as_slice()).unwrap();
            transaction.open_table(OPEN).unwrap().insert(id, ()).unwrap();
            let mut makers = transaction.open_table(MAKERS_BY_PATH).unwrap();
            for path in build.products() {
                makers.insert((path.as_str(), id), ()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    #[test]
    fn what_an_older_program_recorded_is_read_and_found_as_it_was() {
        let builds = [1, 2, 3].map(|n| of(n, &format!("hello-{n}"), BuildState::Waiting { missing: 1 }));
        let folder = tempfile::tempdir().unwrap();
        record_spelled_out(folder.path(), &builds);
        for _ in 0..2 {
            let book = Book::open(folder.path()).unwrap();
            assert_eq!(book.remember().unwrap().builds, builds);
            let output = store_path(2, "hello-2");
            assert_eq!(book.makers(&output).unwrap(), [builds[1].id]);
            let asked = AskBuilds { output: Some(output), ..AskBuilds::default() };
            assert_eq!(book.candidates(&asked).unwrap().ids, [builds[1].id]);
        }
    }

    #[test]
    fn an_old_state_without_builds_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        record_spelled_out(folder.path(), &[]);
        assert_eq!(Book::open(folder.path()).unwrap().remember().unwrap().builds, []);
    }
}
