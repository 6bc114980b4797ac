//! Attempts on disk, one file each, from the offer until they are settled: a killed process forgets none.
//!
//! A file grows by one record each time its attempt is saved, and the last whole record counts: a process that is killed
//! in the middle of a write leaves the one before. Nothing is synced, and no file is made anew for a change, for both
//! cost more than a small build may; the kernel keeps what was written when the process dies. The spool does not know
//! what may follow what.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drover_messages::AttemptId;
use drover_messages::offer::Offer;
use serde::{Deserialize, Serialize};

use crate::ledger::{Attempt, Stage};
use crate::state_dir::replace;

/// The longest file that is read back, in bytes: an offer and a few reports are messages.
const MAX_FILE_BYTES: u64 = 16 * drover_messages::envelope::MAX_MESSAGE_BYTES as u64;

/// The shape of a record. It grew a version at its birth.
const VERSION: u16 = 1;

/// Before each record stands its length in bytes, little endian.
type Length = u32;

#[derive(Serialize)]
struct Written<'a> {
    v: u16,
    offer: &'a Offer,
    stage: &'a Stage,
}

#[derive(Deserialize)]
struct Read {
    v: u16,
    offer: Offer,
    stage: Stage,
}

/// The folder of attempts.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
}

impl Spool {
    /// In this folder, which exists.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Writes an attempt as it is now.
    pub fn save(&self, attempt: &Attempt) -> io::Result<()> {
        let written = Written { v: VERSION, offer: &attempt.offer, stage: &attempt.stage };
        let mut record = vec![0; size_of::<Length>()];
        rmp_serde::encode::write_named(&mut record, &written).map_err(io::Error::other)?;
        let length = Length::try_from(record.len() - size_of::<Length>()).map_err(io::Error::other)?;
        record[..size_of::<Length>()].copy_from_slice(&length.to_le_bytes());
        File::options().create(true).append(true).open(self.path(attempt.offer.attempt))?.write_all(&record)
    }

    /// Forgets an attempt. One that is not there is forgotten already.
    pub fn forget(&self, attempt: AttemptId) -> io::Result<()> {
        match fs::remove_file(self.path(attempt)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Everything that is not settled. A file that cannot be read is set aside, and said so: the scheduler offers anew
    /// what the agent does not name.
    pub fn load(&self) -> io::Result<Vec<Attempt>> {
        let mut attempts = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "attempt") {
                continue;
            }
            match self.read(&path) {
                Ok(attempt) => attempts.push(attempt),
                Err(error) => set_aside(&path, &error)?,
            }
        }
        attempts.sort_by_key(|attempt| attempt.offer.epoch);
        Ok(attempts)
    }

    /// Reads a file, and writes it anew with its last record alone: what is behind that would spoil what comes.
    fn read(&self, path: &Path) -> io::Result<Attempt> {
        if fs::metadata(path)?.len() > MAX_FILE_BYTES {
            return Err(io::Error::other(format!("more than {MAX_FILE_BYTES} bytes")));
        }
        let bytes = fs::read(path)?;
        let record = last_record(&bytes).ok_or_else(|| io::Error::other("no whole record"))?;
        let read: Read = rmp_serde::from_slice(record).map_err(io::Error::other)?;
        if read.v > VERSION {
            return Err(io::Error::other(format!("version {} of a newer program", read.v)));
        }
        let attempt = Attempt { offer: Arc::new(read.offer), stage: read.stage };
        let length = record.len() as Length;
        replace(path, &[&length.to_le_bytes(), record].concat())?;
        Ok(attempt)
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        self.dir.join(format!("{attempt}.attempt"))
    }
}

fn last_record(mut bytes: &[u8]) -> Option<&[u8]> {
    let mut last = None;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let Some((record, rest)) = rest.split_at_checked(Length::from_le_bytes(*length) as usize) else { break };
        // A power cut may leave zeros.
        if !record.is_empty() {
            last = Some(record);
        }
        bytes = rest;
    }
    last
}

fn set_aside(path: &Path, why: &io::Error) -> io::Result<()> {
    tracing::error!(file = %path.display(), %why, "an attempt in the spool cannot be read and is set aside");
    fs::rename(path, path.with_extension("broken"))
}

#[cfg(test)]
mod tests {
    use drover_messages::report::{Failed, Outcome, Times};
    use drover_messages::{BuildId, Cause, Epoch, Generation, ReportId};
    use drover_store::{PackId, StoreDir};

    use super::*;
    use crate::ledger::report;

    fn attempt(n: u64) -> Attempt {
        let epoch = Epoch { generation: Generation(1), n };
        let build = BuildId::new();
        let offer = Offer {
            generation: Generation(1),
            epoch,
            attempt: AttemptId::derived(build, epoch),
            build,
            store_dir: StoreDir::nix(),
            drv: "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello.drv".parse().unwrap(),
            pack: PackId::of(b"pack"),
            inputs: Vec::new(),
        };
        Attempt { offer: Arc::new(offer), stage: Stage::Accepted }
    }

    fn failed(attempt: &Attempt) -> Attempt {
        let failed = Failed { cause: Cause::Silent, message: "hm".into(), times: Times::default(), log: None };
        let failed = report(&attempt.offer, ReportId::new(), Outcome::Failed(failed));
        Attempt { offer: attempt.offer.clone(), stage: Stage::Failed { built: None, failed } }
    }

    #[test]
    fn what_was_saved_last_is_loaded_in_order_of_the_leases() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().to_owned());
        let (one, two, three) = (attempt(1), attempt(2), attempt(3));
        for attempt in [&three, &one, &two] {
            spool.save(attempt).unwrap();
        }
        let two_failed = failed(&two);
        spool.save(&two_failed).unwrap();
        assert_eq!(spool.load().unwrap(), [one, two_failed, three]);
    }

    #[test]
    fn what_is_forgotten_is_not_loaded_and_may_be_forgotten_twice() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().to_owned());
        let one = attempt(1);
        spool.save(&one).unwrap();
        spool.forget(one.offer.attempt).unwrap();
        spool.forget(one.offer.attempt).unwrap();
        assert_eq!(spool.load().unwrap(), []);
    }

    #[test]
    fn a_kill_in_the_middle_of_a_write_leaves_what_was_before_and_room_for_what_comes() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().to_owned());
        let one = attempt(1);
        spool.save(&one).unwrap();
        let path = spool.path(one.offer.attempt);
        let whole = fs::metadata(&path).unwrap().len();
        spool.save(&failed(&one)).unwrap();
        let both = fs::read(&path).unwrap();
        for cut in whole as usize..both.len() {
            fs::write(&path, &both[..cut]).unwrap();
            assert_eq!(spool.load().unwrap(), std::slice::from_ref(&one), "cut at {cut}");
        }
        let last = failed(&one);
        spool.save(&last).unwrap();
        assert_eq!(spool.load().unwrap(), [last]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_set_aside_and_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().to_owned());
        let one = attempt(1);
        spool.save(&one).unwrap();
        fs::write(dir.path().join("odd.attempt"), b"\x01\0\0\0\xc1").unwrap();
        assert_eq!(spool.load().unwrap(), [one]);
        assert!(dir.path().join("odd.broken").exists());
    }
}
