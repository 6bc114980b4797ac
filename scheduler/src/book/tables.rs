//! The tables.

use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};

use super::journal::Newest;
use super::segment::Segment;
use super::{BookError, carry, index, inside, renumber, replay};

type Id = [u8; 16];

/// Single values: the hearing clock, the number of the last record, the cursor of what was told, how far rows were carried,
/// which journal it is.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// What each commit tells, by its number; the oldest go when they were told long ago.
pub(super) const RECORDS: TableDefinition<u64, &[u8]> = TableDefinition::new("records");
/// Every submission.
pub(super) const SUBMISSIONS: TableDefinition<Id, &[u8]> = TableDefinition::new("submissions");
/// Every build, as it was made, with numbers for paths.
pub(super) const BUILDS: TableDefinition<Id, &[u8]> = TableDefinition::new("builds");
/// What has become of builds since they were made.
pub(super) const COURSES: TableDefinition<Id, &[u8]> = TableDefinition::new("courses");
/// The builds of a submission.
pub(super) const MEMBERS: TableDefinition<(Id, Id), ()> = TableDefinition::new("members");
/// Builds that belong in memory.
pub(super) const OPEN: TableDefinition<Id, ()> = TableDefinition::new("open");
/// Every item that something ever made, or needed.
pub(super) const ITEMS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
/// The builds that make an item, by the number of its path.
pub(super) const MAKERS: TableDefinition<(u64, Id), ()> = TableDefinition::new("makers");
/// Every path that a build ever spoke of, by its number.
pub(super) const PATHS: TableDefinition<u64, &str> = TableDefinition::new("paths");
/// Their numbers, by marks of the paths.
pub(super) const NUMBERS: TableDefinition<u64, u64> = TableDefinition::new("numbers");
/// Publications that are owed.
pub(super) const OWED: TableDefinition<Id, &[u8]> = TableDefinition::new("owed");
/// Every derivation that was read.
pub(super) const DRVS: TableDefinition<&str, &[u8]> = TableDefinition::new("derivations");
/// Sets of packs, by the hash of their names.
pub(super) const PACK_SETS: TableDefinition<&str, &[u8]> = TableDefinition::new("pack-sets");

/// The last durations of each package, by its system and its name.
pub(super) const TOOK: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("durations");
/// What each client has used.
pub(super) const USED: TableDefinition<Id, &[u8]> = TableDefinition::new("used");
/// Agents that are to take no builds, and when what they have is stopped.
pub(super) const DRAINED: TableDefinition<Id, &[u8]> = TableDefinition::new("drained");
/// Every agent that was here, as far as it is remembered.
pub(super) const AGENTS: TableDefinition<Id, &[u8]> = TableDefinition::new("agents");
/// Derivations that failed, with the newest build of each that did, and when.
pub(super) const FAILURES: TableDefinition<&str, (Id, u64)> = TableDefinition::new("failures");
/// Submissions by their tags, as `key=value`.
pub(super) const TAGS: TableDefinition<(&str, Id), ()> = TableDefinition::new("tags");
/// Submissions by their clients.
pub(super) const OF_CLIENT: TableDefinition<(Id, Id), ()> = TableDefinition::new("submissions-of-client");
/// Builds by their derivations' names, without hash and `.drv`.
pub(super) const NAMES: TableDefinition<(&str, Id), ()> = TableDefinition::new("names");
/// Builds that failed, and builds that were cancelled.
pub(super) const STOPPED: TableDefinition<(u8, Id), ()> = TableDefinition::new("stopped");
/// Wishes that were heard.
pub(super) const WISHES: TableDefinition<Id, ()> = TableDefinition::new("wishes");
/// Submissions that were cancelled before they were heard of.
pub(super) const AHEAD: TableDefinition<Id, ()> = TableDefinition::new("cancelled-ahead");

/// The shape of all of it. It grew 2 with wishes, durations, whole closures and what else is younger than checks; 3 with
/// names, clients and what came to nothing, by which builds are listed; 4 with what becomes of builds, which older programs
/// would not see; 5 with numbers for paths, and with the journal; 6 with the journal beside it.
pub(super) const SCHEMA_VERSION: u64 = 6;
/// What was recorded under an earlier one is not in the tables by which builds are listed.
const INDEXED_SINCE: u64 = 3;
/// What was recorded under an earlier one spells out all paths.
const NUMBERED_SINCE: u64 = 5;
/// What was recorded under an earlier one has its journal in a table.
const JOURNAL_BESIDE_SINCE: u64 = 6;
pub(super) const SCHEMA: &str = "schema";

pub(super) const HEARD: &str = "heard";
pub(super) const LAST_RECORD: &str = "last-record";
pub(super) const TOLD: &str = "told";
pub(super) const TOLD_TO: &str = "told-to";
/// Up to which record all rows are in their tables.
pub(super) const CARRIED: &str = "carried";
/// Which journal goes on from there.
pub(super) const JOURNAL: &str = "journal";
/// Which one went before, of which all is in the tables.
pub(super) const JOURNAL_BEFORE: &str = "journal-before";

/// The row of a tag, in the table of tags.
pub(super) fn tag_row(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

/// Calls `$do!(TABLE)` for every table.
macro_rules! each_table {
    ($do:ident) => {
        $do!(META);
        $do!(RECORDS);
        $do!(SUBMISSIONS);
        $do!(BUILDS);
        $do!(COURSES);
        $do!(MEMBERS);
        $do!(OPEN);
        $do!(ITEMS);
        $do!(MAKERS);
        $do!(PATHS);
        $do!(NUMBERS);
        $do!(OWED);
        $do!(DRVS);
        $do!(PACK_SETS);
        $do!(TOOK);
        $do!(USED);
        $do!(DRAINED);
        $do!(AGENTS);
        $do!(FAILURES);
        $do!(TAGS);
        $do!(OF_CLIENT);
        $do!(NAMES);
        $do!(STOPPED);
        $do!(WISHES);
        $do!(AHEAD);
    };
}
pub(super) use each_table;

/// Makes the tables that are not there, so that reading finds them, notes the schema, and brings what is only in the journal to
/// its tables. A state that a newer program has written is left alone. Returns how far the state is, and where it goes on.
pub(super) fn make_tables(database: &Database, journal: &Path) -> Result<(Newest, Segment), BookError> {
    let transaction = carry::begin(database, true)?;
    let found = {
        let mut meta = transaction.open_table(META)?;
        let found = meta.get(SCHEMA)?.map_or(0, |value| value.value());
        if found > SCHEMA_VERSION {
            return Err(BookError::Newer { found });
        }
        // What older programs wrote lacks fields that are filled in where it is read, and tables that are made here.
        meta.insert(SCHEMA, SCHEMA_VERSION)?;
        found
    };
    if found < NUMBERED_SINCE {
        renumber::put_aside(&transaction)?;
    }
    macro_rules! make {
        ($table:ident) => {
            transaction.open_table($table)?;
        };
    }
    each_table!(make);
    if found < NUMBERED_SINCE {
        renumber::take_over(&transaction)?;
    }
    if found < INDEXED_SINCE {
        index::enter_all(&transaction)?;
    }
    if found < JOURNAL_BESIDE_SINCE {
        inside::take_over(&transaction)?;
    }
    let begun = replay::replay(&transaction, journal)?;
    transaction.commit()?;
    Ok(begun)
}
