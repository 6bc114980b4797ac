//! Attempts on disk, one file each, from the offer until they are settled: a killed process forgets none.
//!
//! A file is replaced by a rename and not synced: the kernel keeps it when the process dies, and a build pays for no
//! disk. The spool does not know what may follow what.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drover_messages::AttemptId;
use drover_messages::offer::Offer;
use serde::{Deserialize, Serialize};

use crate::ledger::{Attempt, Stage};
use crate::state_dir::replace;

/// The longest file that is read back, in bytes: an offer and two reports are messages.
const MAX_FILE_BYTES: u64 = 4 * drover_messages::envelope::MAX_MESSAGE_BYTES as u64;

/// The shape of a file. It grew a version at its birth.
const VERSION: u16 = 1;

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
        let bytes = rmp_serde::to_vec_named(&written).map_err(io::Error::other)?;
        replace(&self.path(attempt.offer.attempt), &bytes)
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
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("attempt") => match read(&path) {
                    Ok(attempt) => attempts.push(attempt),
                    Err(error) => set_aside(&path, &error)?,
                },
                // The death of a process in the middle of a write leaves this.
                Some("new") => fs::remove_file(&path)?,
                _ => {}
            }
        }
        attempts.sort_by_key(|attempt| attempt.offer.epoch);
        Ok(attempts)
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        self.dir.join(format!("{attempt}.attempt"))
    }
}

fn read(path: &Path) -> io::Result<Attempt> {
    if fs::metadata(path)?.len() > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("more than {MAX_FILE_BYTES} bytes")));
    }
    let read: Read = rmp_serde::from_slice(&fs::read(path)?).map_err(io::Error::other)?;
    if read.v > VERSION {
        return Err(io::Error::other(format!("version {} of a newer program", read.v)));
    }
    Ok(Attempt { offer: Arc::new(read.offer), stage: read.stage })
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
    fn a_kill_in_the_middle_of_a_write_leaves_what_was_before() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().to_owned());
        let one = attempt(1);
        spool.save(&one).unwrap();
        let half = dir.path().join(format!("{}.new", one.offer.attempt));
        fs::write(&half, b"half of it").unwrap();
        assert_eq!(spool.load().unwrap(), [one]);
        assert!(!half.exists());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_set_aside_and_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().to_owned());
        let one = attempt(1);
        spool.save(&one).unwrap();
        fs::write(dir.path().join("odd.attempt"), b"\xc1").unwrap();
        assert_eq!(spool.load().unwrap(), [one]);
        assert!(dir.path().join("odd.broken").exists());
    }
}
