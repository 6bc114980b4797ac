//! The truth: what is recorded, in redb. It knows tables and bytes; what they mean is the core's.

mod carry;
mod course;
mod destinations;
mod find;
mod index;
mod inside;
mod journal;
mod load;
mod lookup;
mod made;
mod number_set;
mod numbers;
mod open;
mod paths;
mod renumber;
mod replay;
mod retention;
mod rows;
mod segment;
mod sheet;
mod sieve;
mod snapshot;
mod stopped;
mod store_dirs;
mod tables;
mod walk;
mod write;

#[cfg(test)]
mod journal_samples;
#[cfg(test)]
pub(crate) mod samples;

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex};

use drover_messages::event::What;
use drover_messages::{Generation, Timestamp};
use drover_scheduler_core::Heard;
use redb::Database;
use serde::{Deserialize, Serialize};

pub(crate) use find::{Candidates, ids, is_about_everything};
pub(crate) use load::Memory;
pub(crate) use retention::FAILURES_KNOWN_MILLIS;
pub(crate) use sheet::{Page, Sheet};
pub(crate) use stopped::Stopped;

use journal::Journal;
use paths::Known;
use tables::make_tables;

/// Pages of the database that are kept in memory, in bytes.
const CACHE_BYTES: usize = 32 << 20;
/// Where rows are put together is kept from one to the next, up to so many bytes.
const ROW_BYTES_KEPT: usize = 64 << 10;

/// The state as it is recorded.
#[derive(Clone)]
pub(crate) struct Book {
    database: Arc<Database>,
    journal: Arc<Journal>,
    numbers: Arc<Mutex<Known>>,
}

/// What can go wrong with it. All of it ends the process: what is not recorded did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BookError {
    #[error("the state in {path} is in use: another scheduler runs on it")]
    InUse { path: String },
    #[error("the state has the schema {found}, of a newer program; this one knows up to {known}", known = tables::SCHEMA_VERSION)]
    Newer { found: u64 },
    #[error("the state cannot be read or written: {0}")]
    Redb(redb::Error),
    #[error("a row of the state cannot be read, {what}: {source}")]
    Row { what: &'static str, source: rmp_serde::decode::Error },
    #[error("a row of the state speaks of a path by the number {number}, which is no path's")]
    NoPath { number: u64 },
    #[error("the journal beside the state cannot be read or written: {0}")]
    Journal(#[from] std::io::Error),
    #[error("{segment} is damaged: what it says cannot be told from what it does not")]
    Damaged { segment: String },
    #[error(
        "what is in {folder} is not the journal of this state.redb, or not all of it: they belong together. Where a copy of the \
         state was put in place, {folder} must be moved away as well"
    )]
    NotOurs { folder: String },
    #[error("a path in the state is none: {0}")]
    Path(#[from] drover_store::ParseError),
    #[error("a row of the state cannot be written: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
}

/// redb has one error for each of its verbs; all mean the same to us.
macro_rules! from_redb {
    ($($error:ident),+) => {
        $(impl From<redb::$error> for BookError {
            fn from(error: redb::$error) -> Self {
                Self::Redb(error.into())
            }
        })+
    };
}

from_redb!(DatabaseError, TransactionError, TableError, StorageError, CommitError);

/// What one commit tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) generation: Generation,
    pub(crate) heard: Heard,
    pub(crate) wall: Timestamp,
    pub(crate) events: Vec<What>,
}

impl Book {
    pub(crate) fn open(folder: &Path) -> Result<Self, BookError> {
        let (path, journal) = (folder.join("state.redb"), folder.join("journal"));
        let opened = redb::Builder::new().set_cache_size(CACHE_BYTES).create(&path);
        let database = opened.map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => BookError::InUse { path: path.display().to_string() },
            error => error.into(),
        })?;
        let (newest, segment) = make_tables(&database, &journal)?;
        replay::throw_away_others(&journal, &segment)?;
        let journal = Arc::new(Journal::begin_at(newest, journal, segment));
        Ok(Self { database: Arc::new(database), journal, numbers: Arc::default() })
    }
}

#[cfg(test)]
impl Book {
    /// Keeps everybody from writing.
    pub(crate) fn hold(&self) -> impl Sized + '_ {
        self.journal.begin()
    }

    /// Brings every row to its table.
    pub(crate) fn carry_all(&self) {
        let mut seen = self.journal.begin().newest().number;
        self.carry_if_due(&mut seen).unwrap();
    }

    /// Whether every row is in its table.
    pub(crate) fn is_tidy(&self) -> bool {
        let (old, young) = self.journal.begin().rows();
        old.is_empty() && young.is_empty()
    }
}

/// A row, in no more bytes than it needs: many are kept.
fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, BookError> {
    thread_local! {
        static ROW: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    ROW.with_borrow_mut(|row| {
        let written = rmp_serde::encode::write_named(row, value);
        let bytes = row.as_slice().to_vec();
        row.clear();
        row.shrink_to(ROW_BYTES_KEPT);
        written?;
        Ok(bytes)
    })
}

fn decode<T: serde::de::DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, BookError> {
    rmp_serde::from_slice(bytes).map_err(|source| BookError::Row { what, source })
}
