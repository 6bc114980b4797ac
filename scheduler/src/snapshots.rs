//! Copies of the whole state, made when an administrator asks for one.

use std::path::PathBuf;
use std::sync::Arc;

use drover_messages::Timestamp;
use drover_messages::admin::Snapshot;
use drover_nats::Incoming;
use tokio::sync::Mutex;

use crate::book::Book;
use crate::calls::{refuse, told};

/// Where copies go, one at a time.
#[derive(Clone)]
pub(crate) struct Snapshots {
    book: Book,
    folder: PathBuf,
    one: Arc<Mutex<()>>,
}

impl Snapshots {
    pub(crate) fn new(book: Book, folder: PathBuf) -> Self {
        Self { book, folder, one: Arc::default() }
    }

    /// Makes one, and says where it is.
    pub(crate) async fn answer(self, incoming: Incoming) {
        let _alone = self.one.clone().lock_owned().await;
        let copied = tokio::task::spawn_blocking(move || self.copy()).await;
        match copied {
            Ok(Ok(snapshot)) => told(incoming.respond(&snapshot).await),
            Ok(Err(why)) => refuse(&incoming, &format!("the state cannot be copied: {why}")).await,
            Err(error) => refuse(&incoming, &format!("the state cannot be copied: {error}")).await,
        }
    }

    /// It has its name only when it is whole.
    fn copy(&self) -> Result<Snapshot, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        std::fs::create_dir_all(&self.folder).map_err(|error| told(&error))?;
        let file = self.folder.join(format!("{}.redb", Timestamp::now().0));
        let part = file.with_extension("part");
        self.book.copy_to(&part).map_err(|error| told(&error))?;
        std::fs::rename(&part, &file).map_err(|error| told(&error))?;
        let bytes = std::fs::metadata(&file).map_err(|error| told(&error))?.len();
        Ok(Snapshot { file: file.display().to_string(), bytes })
    }
}
