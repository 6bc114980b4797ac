//! The tables.

use redb::TableDefinition;

use super::{Book, BookError};

type Id = [u8; 16];

/// Single values: the hearing clock, the number of the last record, the cursor of what was told.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// What each commit said, by its number; the oldest go when they were told long ago.
pub(super) const RECORDS: TableDefinition<u64, &[u8]> = TableDefinition::new("records");
/// Every submission.
pub(super) const SUBMISSIONS: TableDefinition<Id, &[u8]> = TableDefinition::new("submissions");
/// Every build.
pub(super) const BUILDS: TableDefinition<Id, &[u8]> = TableDefinition::new("builds");
/// The builds of a submission.
pub(super) const MEMBERS: TableDefinition<(Id, Id), ()> = TableDefinition::new("members");
/// Builds that belong in memory.
pub(super) const OPEN: TableDefinition<Id, ()> = TableDefinition::new("open");
/// Every item that something ever made, or needed.
pub(super) const ITEMS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
/// The builds that make an item.
pub(super) const MAKERS: TableDefinition<(&str, Id), ()> = TableDefinition::new("makers");
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
/// Derivations that failed, with the newest build of each that did, and when.
pub(super) const FAILURES: TableDefinition<&str, (Id, u64)> = TableDefinition::new("failures");
/// Submissions by their tags, as `key=value`.
pub(super) const TAGS: TableDefinition<(&str, Id), ()> = TableDefinition::new("tags");
/// Wishes that were heard.
pub(super) const WISHES: TableDefinition<Id, ()> = TableDefinition::new("wishes");
/// Submissions that were cancelled before they were heard of.
pub(super) const AHEAD: TableDefinition<Id, ()> = TableDefinition::new("cancelled-ahead");

pub(super) const HEARD: &str = "heard";
pub(super) const LAST_RECORD: &str = "last-record";
pub(super) const TOLD: &str = "told";

/// The row of a tag, in the table of tags.
pub(super) fn tag_row(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

impl Book {
    /// Makes the tables that are not there, so that reading finds them.
    pub(super) fn make_tables(&self) -> Result<(), BookError> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(META)?;
        transaction.open_table(RECORDS)?;
        transaction.open_table(SUBMISSIONS)?;
        transaction.open_table(BUILDS)?;
        transaction.open_table(MEMBERS)?;
        transaction.open_table(OPEN)?;
        transaction.open_table(ITEMS)?;
        transaction.open_table(MAKERS)?;
        transaction.open_table(OWED)?;
        transaction.open_table(DRVS)?;
        transaction.open_table(PACK_SETS)?;
        transaction.open_table(TOOK)?;
        transaction.open_table(USED)?;
        transaction.open_table(DRAINED)?;
        transaction.open_table(FAILURES)?;
        transaction.open_table(TAGS)?;
        transaction.open_table(WISHES)?;
        transaction.open_table(AHEAD)?;
        transaction.commit()?;
        Ok(())
    }
}
