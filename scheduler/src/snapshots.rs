//! Copies of the whole state, made when an administrator asks for one. Where they lie and how many are kept was said at the
//! start: nobody can write files here by asking.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use drover_messages::Timestamp;
use drover_messages::admin::Snapshot;
use drover_nats::Incoming;
use tokio::sync::Mutex;

use crate::book::{Book, BookError};
use crate::calls::{refuse, told};

/// A copy in the making.
const UNFINISHED: &str = "unfinished";

/// Where copies go.
#[derive(Clone)]
pub(crate) struct Snapshots {
    book: Book,
    folder: PathBuf,
    keep: usize,
    one: Arc<Mutex<()>>,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
enum NoSnapshot {
    #[error("a copy of the state is being made already")]
    Busy,
    #[error("the state cannot be copied: {0}")]
    Book(#[from] BookError),
    #[error("the state cannot be copied to {}: {source}", .folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("the state was not copied: {0}")]
    Died(#[from] tokio::task::JoinError),
}

impl Snapshots {
    /// In this folder; the newest so many are kept.
    pub(crate) fn new(book: Book, folder: PathBuf, keep: usize) -> Self {
        Self { book, folder, keep, one: Arc::default() }
    }

    /// Makes one, and says where it is.
    pub(crate) async fn answer(self, incoming: Incoming) {
        match self.make().await {
            Ok(snapshot) => told(incoming.respond(&snapshot).await),
            Err(why) => refuse(&incoming, &why.to_string()).await,
        }
    }

    async fn make(self) -> Result<Snapshot, NoSnapshot> {
        let alone = self.one.clone().try_lock_owned().map_err(|_| NoSnapshot::Busy)?;
        // Whoever asked may be gone; the copy is made all the same, and nobody else begins one meanwhile.
        tokio::task::spawn_blocking(move || {
            let _alone = alone;
            self.copy()
        })
        .await?
    }

    fn copy(&self) -> Result<Snapshot, NoSnapshot> {
        let begin = Instant::now();
        let in_folder = |source| NoSnapshot::Folder { folder: self.folder.clone(), source };
        fs::create_dir_all(&self.folder).map_err(in_folder)?;
        let (part, file) = (self.folder.join(UNFINISHED), self.folder.join(name(Timestamp::now())));
        remove_if_there(&part).map_err(in_folder)?;
        self.book.copy_to(&part)?;
        self.put(&part, &file).map_err(in_folder)?;
        let bytes = fs::metadata(&file).map_err(in_folder)?.len();
        let took_millis = begin.elapsed().as_millis() as u64;
        tracing::info!(file = %file.display(), bytes, took_millis, "the state was copied");
        Ok(Snapshot { file: file.display().to_string(), bytes, took_millis })
    }

    /// It has its name only when it is whole. Then the oldest go.
    fn put(&self, part: &Path, file: &Path) -> io::Result<()> {
        fs::rename(part, file)?;
        let names = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name()));
        let names: Vec<_> = names.collect::<io::Result<_>>()?;
        let mut made: Vec<u64> = names.iter().filter_map(|name| made_at(name.to_str()?)).collect();
        made.sort_unstable();
        for oldest in made.iter().take(made.len().saturating_sub(self.keep)) {
            remove_if_there(&self.folder.join(name(Timestamp(*oldest))))?;
        }
        File::open(&self.folder)?.sync_all()
    }
}

fn name(made: Timestamp) -> String {
    format!("state-{}.redb", made.0)
}

/// When a copy of this name was made, in milliseconds since 1970. What has another name is not ours.
fn made_at(name: &str) -> Option<u64> {
    name.strip_prefix("state-")?.strip_suffix(".redb")?.parse().ok()
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_copies_are_kept_and_what_lies_beside_them_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("snapshots");
        fs::create_dir(&folder).unwrap();
        for name in ["state-1.redb", "state-2.redb", "state-mine.redb", UNFINISHED] {
            fs::write(folder.join(name), "").unwrap();
        }
        let snapshots = Snapshots::new(Book::open(dir.path()).unwrap(), folder.clone(), 2);
        let made = snapshots.copy().unwrap();
        assert_eq!(fs::metadata(&made.file).unwrap().len(), made.bytes);
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let mut kept = vec![PathBuf::from(made.file), folder.join("state-2.redb"), folder.join("state-mine.redb")];
        kept.sort();
        assert_eq!(names, kept);
    }

    #[tokio::test]
    async fn one_copy_is_made_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(Book::open(dir.path()).unwrap(), dir.path().join("snapshots"), 1);
        let busy = snapshots.one.clone().try_lock_owned().unwrap();
        assert!(matches!(snapshots.clone().make().await, Err(NoSnapshot::Busy)));
        drop(busy);
        snapshots.make().await.unwrap();
    }
}
