//! The thread that writes commits, one after the other, while the next is decided about.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::{self, JoinHandle};

use futures::executor::block_on;
use tokio::sync::mpsc;

use crate::book::{Book, BookError, Record, Sheet};
use crate::fresh::{Fresh, News};
use crate::told::Cursor;

/// The way to it.
pub(crate) struct Scribe {
    pen: Pen,
    sheets: blocking::Sender<Sheet>,
    written: mpsc::UnboundedReceiver<Result<(), BookError>>,
    thread: Option<JoinHandle<()>>,
    /// What it was given is committed, which was waited for out of turn.
    was_waited_for: bool,
}

/// What it takes to write.
#[derive(Clone)]
struct Pen {
    book: Book,
    told: Arc<Cursor>,
    fresh: Arc<Fresh>,
}

impl Pen {
    fn write(&self, sheet: Sheet) -> Result<(), BookError> {
        let (record, number) = self.book.commit(sheet, self.told.get())?;
        let Record { generation, wall, events, .. } = record;
        self.fresh.put(News { number, generation, wall, events });
        Ok(())
    }
}

impl Scribe {
    /// With each commit goes what was `told` so far; what is committed goes to `fresh`, to be told.
    pub(crate) fn start(book: Book, told: Arc<Cursor>, fresh: Arc<Fresh>) -> std::io::Result<Self> {
        let (sheets, to_write) = blocking::channel();
        let (written, done) = mpsc::unbounded_channel();
        let pen = Pen { book, told, fresh };
        let held = pen.clone();
        let thread = thread::Builder::new().name("scribe".into()).spawn(move || {
            for sheet in to_write {
                if written.send(held.write(sheet)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { pen, sheets, written: done, thread: Some(thread), was_waited_for: false })
    }

    /// Writes at once, in the thread that asks for it.
    pub(crate) fn write_now(&self, sheet: Sheet) -> Result<(), BookError> {
        self.pen.write(sheet)
    }

    /// Begins to write. One is written at a time: what was given before is committed.
    pub(crate) fn write(&self, sheet: Sheet) {
        // Where it is gone, whoever waits for what was written finds out.
        let _ = self.sheets.send(sheet);
    }

    /// Returns when what it was given is committed.
    pub(crate) async fn written(&mut self) -> Result<(), BookError> {
        if std::mem::take(&mut self.was_waited_for) {
            return Ok(());
        }
        match self.written.recv().await {
            Some(written) => written,
            None => match self.thread.take().map(JoinHandle::join) {
                Some(Err(panic)) => resume_unwind(panic),
                _ => std::future::pending().await,
            },
        }
    }

    /// Waits until what it was given is committed. Whoever asks for that later is told once more.
    pub(crate) fn wait(&mut self) -> Result<(), BookError> {
        block_on(self.written())?;
        self.was_waited_for = true;
        Ok(())
    }
}
