//! The thread that brings what commits have written to its tables, beside those who decide and commit.

use std::convert::Infallible;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::book::{Book, BookError};

/// The pause between two looks. What is written in a second may wait in memory; a farm at rest is tidy after two of them.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Carries for ever. What comes back is why not any more.
pub(crate) fn start(book: Book) -> std::io::Result<oneshot::Receiver<BookError>> {
    let (ended, end) = oneshot::channel();
    let carry = move || match carry(&book) {
        Ok(never) => match never {},
        Err(error) => drop(ended.send(error)),
    };
    thread::Builder::new().name("carrier".into()).spawn(carry)?;
    Ok(end)
}

fn carry(book: &Book) -> Result<Infallible, BookError> {
    let mut seen = 0;
    loop {
        book.carry_if_due(&mut seen)?;
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::book::samples::commit;

    #[test]
    fn a_farm_at_rest_brings_what_it_committed_to_the_tables() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let _end = start(book.clone()).unwrap();
        commit(&book, Vec::new(), &Default::default());
        assert!(!book.is_tidy());
        let begin = Instant::now();
        while !book.is_tidy() {
            assert!(begin.elapsed() < Duration::from_secs(60), "nobody carries");
            thread::sleep(LOOK_EVERY);
        }
    }
}
