//! The names in the folder of a store. It knows nothing of who wants to know them, and does not ask the daemon: what is
//! being built stands there too, and what is left of a build that failed.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use drover_messages::Fingerprint;
use drover_store::{StoreDir, StorePath};

/// Of a store with more items than this nothing is told: a filter of the size that is allowed would tell nothing.
pub const MAX_ITEMS: usize = 1_000_000;

/// A folder that was changed less than this ago, by its clock, may be changed again without showing it.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// What a lock file of a daemon has in it at most, in bytes.
const MAX_LOCK_BYTES: u64 = 1;

/// A folder, and what it was when it was last read.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    read: Option<Edition>,
}

/// The same for a folder that was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edition {
    device: u64,
    inode: u64,
    changed: SystemTime,
}

impl Folder {
    /// Not read yet.
    pub fn of(store_dir: &StoreDir) -> Self {
        Self { dir: store_dir.as_str().into(), read: None }
    }

    /// What is in it; `None` where it is as it was.
    ///
    /// # Errors
    /// Where it cannot be read, or has more than [`MAX_ITEMS`].
    pub fn read_if_changed(&mut self) -> io::Result<Option<BTreeSet<Fingerprint>>> {
        let now = SystemTime::now();
        let metadata = fs::metadata(&self.dir)?;
        let edition = Edition { device: metadata.dev(), inode: metadata.ino(), changed: metadata.modified()? };
        if self.read == Some(edition) {
            return Ok(None);
        }
        let items = self.items()?;
        let is_settled = now.duration_since(edition.changed).is_ok_and(|age| age >= CLOCK_STEP);
        self.read = is_settled.then_some(edition);
        Ok(Some(items))
    }

    fn items(&self) -> io::Result<BTreeSet<Fingerprint>> {
        let mut items = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            items.extend(fingerprint(&entry?));
            if items.len() > MAX_ITEMS {
                return Err(io::Error::other(format!("there are more than {MAX_ITEMS} items in {}", self.dir.display())));
            }
        }
        Ok(items.into_iter().collect())
    }
}

/// `None` for what is no input of a build: derivations, and what daemons keep beside items.
fn fingerprint(entry: &DirEntry) -> Option<Fingerprint> {
    let name = entry.file_name();
    let path: StorePath = name.to_str()?.parse().ok()?;
    let is_aside = path.is_derivation() || path.name().ends_with(".drv.chroot") || is_lock(&path, entry);
    (!is_aside).then(|| Fingerprint::of(&path))
}

/// Items may be called so, too.
fn is_lock(path: &StorePath, entry: &DirEntry) -> bool {
    path.name().ends_with(".lock") && entry.metadata().is_ok_and(|metadata| metadata.len() <= MAX_LOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const HELD: &str = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello-2.12";
    const LOCK_FILE_OF_A_PROJECT: &str = "1c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-Cargo.lock";

    fn fingerprints<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<Fingerprint> {
        names.into_iter().map(|name| Fingerprint::of(&name.parse().unwrap())).collect()
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { dir: dir.path().into(), read: None };
        (dir, folder)
    }

    /// As if the last change had been long ago.
    fn let_rest(dir: &tempfile::TempDir) {
        fs::File::open(dir.path()).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    #[test]
    fn only_what_can_be_an_input_counts() {
        let (dir, mut folder) = folder();
        for name in [HELD, LOCK_FILE_OF_A_PROJECT] {
            fs::write(dir.path().join(name), "words").unwrap();
        }
        let hash = "2c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy";
        for aside in ["a.drv", "a.drv.chroot", "a.lock", "a.drv.lock"] {
            fs::write(dir.path().join(format!("{hash}-{aside}")), "").unwrap();
        }
        for other in [".links", "trash", "lost+found"] {
            fs::create_dir(dir.path().join(other)).unwrap();
        }
        assert_eq!(folder.read_if_changed().unwrap(), Some(fingerprints([HELD, LOCK_FILE_OF_A_PROJECT])));
    }

    #[test]
    fn a_folder_is_read_again_only_when_it_was_changed() {
        let (dir, mut folder) = folder();
        let_rest(&dir);
        assert_eq!(folder.read_if_changed().unwrap(), Some(BTreeSet::new()));
        assert_eq!(folder.read_if_changed().unwrap(), None);
        fs::write(dir.path().join(HELD), "").unwrap();
        assert_eq!(folder.read_if_changed().unwrap(), Some(fingerprints([HELD])));
    }

    #[test]
    fn a_change_that_the_clock_may_hide_is_looked_for() {
        let (dir, mut folder) = folder();
        assert_eq!(folder.read_if_changed().unwrap(), Some(BTreeSet::new()));
        let changed = fs::metadata(dir.path()).unwrap().modified().unwrap();
        fs::write(dir.path().join(HELD), "").unwrap();
        fs::File::open(dir.path()).unwrap().set_modified(changed).unwrap();
        assert_eq!(folder.read_if_changed().unwrap(), Some(fingerprints([HELD])));
    }

    #[test]
    fn a_folder_that_is_not_there_cannot_be_read() {
        assert!(Folder::of(&"/nowhere/store".parse().unwrap()).read_if_changed().is_err());
    }

    #[test]
    #[ignore = "it measures; run it with --ignored --nocapture"]
    fn reading_a_large_store_is_measured() {
        let (dir, mut folder) = folder();
        const ITEMS: usize = 100_000;
        for n in 0..ITEMS {
            let hash = drover_store::Sha256::of(&n.to_le_bytes());
            let path = StorePath::from_parts(hash.as_bytes().first_chunk().unwrap(), "package-1.2.3").unwrap();
            fs::File::create(dir.path().join(path.as_str())).unwrap();
        }
        let start = Instant::now();
        let items = folder.read_if_changed().unwrap().unwrap();
        println!("result read_store_of_100k {} ms", start.elapsed().as_millis());
        let start = Instant::now();
        let holdings = drover_messages::Holdings::of(items.iter().copied());
        println!("result filter_of_100k {} ms", start.elapsed().as_millis());
        assert_eq!(items.len(), ITEMS);
        assert!(items.iter().all(|item| holdings.may_have(*item)));
        let_rest(&dir);
        folder.read_if_changed().unwrap();
        let start = Instant::now();
        assert_eq!(folder.read_if_changed().unwrap(), None);
        println!("result look_at_unchanged_store {} us", start.elapsed().as_micros());
    }
}
