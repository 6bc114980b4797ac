//! Attempts on disk, from the offer until they are settled: a killed process forgets none.
//!
//! One journal, to which each change is appended; the last record of an attempt counts. A process that is killed in the
//! middle of a write leaves what was before. Nothing is synced, and no file is made for a build, for both cost more than
//! a small build may; the kernel keeps what was written when the process dies. The spool does not know what may follow
//! what.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_messages::AttemptId;
use drover_messages::offer::Offer;
use serde::{Deserialize, Serialize};

use crate::ledger::{Attempt, Stage};
use crate::state_dir::replace;

/// A journal that is longer than this, in bytes, is written anew when most of it is about what is settled.
const COMPACT_ABOVE_BYTES: u64 = 4 << 20;

/// The longest journal that is read back, in bytes: all that an agent may hold, and as much again that is settled.
const MAX_JOURNAL_BYTES: u64 = 1 << 30;

/// The shape of a record. It grew a version at its birth.
const VERSION: u16 = 1;

/// Before each record stands its length in bytes, little endian.
type Length = u32;

#[derive(Serialize)]
struct Written<'a> {
    v: u16,
    attempt: AttemptId,
    /// `None` where it is forgotten.
    held: Option<WrittenHeld<'a>>,
}

#[derive(Serialize)]
struct WrittenHeld<'a> {
    offer: &'a Offer,
    stage: &'a Stage,
}

#[derive(Deserialize)]
struct Read {
    v: u16,
    attempt: AttemptId,
    held: Option<ReadHeld>,
}

#[derive(Deserialize)]
struct ReadHeld {
    offer: Offer,
    stage: Stage,
}

/// The last record of each attempt that is held.
type Held = BTreeMap<AttemptId, Vec<u8>>;

/// The journal.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    journal: Mutex<Journal>,
}

#[derive(Debug)]
struct Journal {
    file: File,
    /// Its length, in bytes.
    length: u64,
    held: Held,
}

impl Spool {
    /// Opens the journal in this folder, which exists, and gives what is not settled. What cannot be read is set aside,
    /// and said so: the scheduler offers anew what the agent does not name.
    pub fn open(dir: &Path) -> io::Result<(Self, Vec<Attempt>)> {
        let path = dir.join("journal");
        let (attempts, held) = read(&path)?;
        let (file, length) = write(&path, &held)?;
        Ok((Self { path, journal: Mutex::new(Journal { file, length, held }) }, attempts))
    }

    /// Writes an attempt as it is now.
    pub fn save(&self, attempt: &Attempt) -> io::Result<()> {
        let id = attempt.offer.attempt;
        let held = WrittenHeld { offer: &attempt.offer, stage: &attempt.stage };
        let record = record(&Written { v: VERSION, attempt: id, held: Some(held) })?;
        let mut journal = self.journal();
        journal.append(&record)?;
        journal.held.insert(id, record);
        journal.compact(&self.path)
    }

    /// Forgets an attempt. One that is not there is forgotten already.
    pub fn forget(&self, attempt: AttemptId) -> io::Result<()> {
        let mut journal = self.journal();
        if journal.held.remove(&attempt).is_some() {
            journal.append(&record(&Written { v: VERSION, attempt, held: None })?)?;
        }
        journal.compact(&self.path)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// A write that fails half-way, as on a full disk, is taken back: what is behind it would not be found.
    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(record) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += record.len() as u64;
        Ok(())
    }

    fn compact(&mut self, path: &Path) -> io::Result<()> {
        if self.length > COMPACT_ABOVE_BYTES {
            let held: usize = self.held.values().map(Vec::len).sum();
            if self.length > 2 * held as u64 {
                (self.file, self.length) = write(path, &self.held)?;
            }
        }
        Ok(())
    }
}

/// Writes a journal of these records in the place of what was there, and gives it to be appended to, with its length.
fn write(path: &Path, held: &Held) -> io::Result<(File, u64)> {
    let bytes: Vec<u8> = held.values().flatten().copied().collect();
    replace(path, &bytes)?;
    Ok((File::options().append(true).open(path)?, bytes.len() as u64))
}

fn record(written: &Written<'_>) -> io::Result<Vec<u8>> {
    let mut record = vec![0; size_of::<Length>()];
    rmp_serde::encode::write_named(&mut record, written).map_err(io::Error::other)?;
    let length = Length::try_from(record.len() - size_of::<Length>()).map_err(io::Error::other)?;
    record[..size_of::<Length>()].copy_from_slice(&length.to_le_bytes());
    Ok(record)
}

/// What is held, in the order of the leases, and the record of each.
fn read(path: &Path) -> io::Result<(Vec<Attempt>, Held)> {
    let bytes = match fs::metadata(path) {
        Ok(meta) if meta.len() > MAX_JOURNAL_BYTES => return set_aside(path, "it is too long").map(|()| Default::default()),
        Ok(_) => fs::read(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let (mut attempts, mut held) = (BTreeMap::new(), BTreeMap::new());
    let mut unreadable = 0;
    for record in records(&bytes) {
        match decode(&record[size_of::<Length>()..]) {
            Ok((id, Some(attempt))) => {
                attempts.insert(id, attempt);
                held.insert(id, record.to_vec());
            }
            Ok((id, None)) => {
                attempts.remove(&id);
                held.remove(&id);
            }
            Err(error) => {
                tracing::error!(%error, "a record in the spool cannot be read");
                unreadable += 1;
            }
        }
    }
    if unreadable > 0 {
        set_aside(path, "it has records that cannot be read")?;
    }
    let mut attempts: Vec<Attempt> = attempts.into_values().collect();
    attempts.sort_by_key(|attempt| attempt.offer.epoch);
    Ok((attempts, held))
}

/// Whole records, each with its length.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = Length::from_le_bytes(*bytes.first_chunk()?) as usize;
        // A power cut may leave zeros.
        let (record, rest) = bytes.split_at_checked(size_of::<Length>() + length).filter(|_| length > 0)?;
        bytes = rest;
        Some(record)
    })
}

fn decode(record: &[u8]) -> io::Result<(AttemptId, Option<Attempt>)> {
    let read: Read = rmp_serde::from_slice(record).map_err(io::Error::other)?;
    if read.v > VERSION {
        return Err(io::Error::other(format!("version {} of a newer program", read.v)));
    }
    let held = read.held.map(|held| Attempt { offer: Arc::new(held.offer), stage: held.stage });
    Ok((read.attempt, held))
}

/// Keeps a journal for whoever looks into it.
fn set_aside(path: &Path, why: &str) -> io::Result<()> {
    let aside = path.with_extension("broken");
    tracing::error!(file = %aside.display(), why, "the spool is kept aside");
    fs::copy(path, aside).map(drop)
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
