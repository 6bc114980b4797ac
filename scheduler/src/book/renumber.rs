//! What was recorded when rows spelled out all paths is written anew, once, with numbers.

use drover_scheduler_core::{Build, Paths};
use redb::{ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::Deserialize;

use super::made;
use super::paths::Register;
use super::tables::*;
use super::{BookError, decode};

type Id = [u8; 16];

const SPELLED_OUT: TableDefinition<Id, &[u8]> = TableDefinition::new("builds-spelled-out");

/// What a row told beside what is a build still.
#[derive(Deserialize)]
struct SpelledOut {
    recipe: Inputs,
}

#[derive(Deserialize)]
struct Inputs {
    inputs: Paths,
}

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
            let SpelledOut { recipe } = decode("the inputs of a build", row.value())?;
            builds.insert(id.value(), made::row(&build, &recipe.inputs, &mut register)?.as_slice())?;
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

    use super::super::Book;
    use super::super::samples::rare;
    use super::*;

    const MAKERS_BY_PATH: TableDefinition<(&str, Id), ()> = TableDefinition::new("makers");
    /// A row that the last program wrote which spelled out all paths.
    const ROW: &[u8] = include_bytes!("../../testdata/build-of-schema-4.msgpack");

    /// A state as that program left it.
    fn record_spelled_out(folder: &std::path::Path, builds: &[(&Build, &[u8])]) {
        let database = redb::Database::create(folder.join("state.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("schema", 4).unwrap();
        for (build, row) in builds {
            let id = build.id.uuid().into_bytes();
            transaction.open_table(BUILDS).unwrap().insert(id, *row).unwrap();
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
        let whole = rare();
        let build = &whole.build;
        let folder = tempfile::tempdir().unwrap();
        record_spelled_out(folder.path(), &[(build, ROW)]);
        for _ in 0..2 {
            let book = Book::open(folder.path()).unwrap();
            assert_eq!(book.builds([build.id]).unwrap(), std::slice::from_ref(&whole));
            let open = book.remember().unwrap().builds;
            let open: Vec<Build> = open.each(|builds| builds.map(|open| open.build).collect()).unwrap();
            assert_eq!(open, std::slice::from_ref(build));
            for output in build.products() {
                assert_eq!(book.makers(output).unwrap(), [build.id]);
                let asked = AskBuilds { output: Some(output.clone()), ..AskBuilds::default() };
                assert_eq!(book.candidates(&asked).unwrap().ids, [build.id]);
            }
        }
    }

    #[test]
    fn an_old_state_without_builds_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        record_spelled_out(folder.path(), &[]);
        assert_eq!(Book::open(folder.path()).unwrap().remember().unwrap().builds.len(), 0);
    }
}
