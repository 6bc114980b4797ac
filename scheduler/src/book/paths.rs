//! Store paths by numbers. Most paths are inputs of many builds, so that rows of builds speak of each by a number, which it
//! gets when the first build that speaks of it is recorded, and keeps. Those that came together have numbers side by side.

use std::collections::HashMap;

use drover_store::StorePath;
use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::BookError;
use super::tables::{NUMBERS, PATHS};

/// Paths that are remembered at most, of those that were looked up.
const REMEMBERED: usize = 100_000;

/// Gives numbers to paths, in one transaction.
pub(super) struct Register<'t> {
    numbers: Table<'t, &'static str, u64>,
    paths: Table<'t, u64, &'static str>,
    next: u64,
    /// Those that were looked up: neighbours have most of their inputs in common.
    known: HashMap<StorePath, u64>,
}

impl<'t> Register<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, BookError> {
        let (numbers, paths) = (transaction.open_table(NUMBERS)?, transaction.open_table(PATHS)?);
        let next = paths.last()?.map_or(0, |(last, _)| last.value() + 1);
        Ok(Self { numbers, paths, next, known: HashMap::new() })
    }

    /// The number of a path; a new one, where it has none.
    pub(super) fn number(&mut self, path: &StorePath) -> Result<u64, BookError> {
        if let Some(number) = self.known.get(path) {
            return Ok(*number);
        }
        let found = self.numbers.get(path.as_str())?.map(|number| number.value());
        let number = match found {
            Some(number) => number,
            None => self.enter(path)?,
        };
        if self.known.len() == REMEMBERED {
            self.known.clear();
        }
        self.known.insert(path.clone(), number);
        Ok(number)
    }

    fn enter(&mut self, path: &StorePath) -> Result<u64, BookError> {
        let number = self.next;
        self.numbers.insert(path.as_str(), number)?;
        self.paths.insert(number, path.as_str())?;
        self.next += 1;
        Ok(number)
    }
}

/// The number of a path, if any build was ever recorded that speaks of it.
pub(super) fn number(read: &ReadTransaction, path: &StorePath) -> Result<Option<u64>, BookError> {
    Ok(read.open_table(NUMBERS)?.get(path.as_str())?.map(|number| number.value()))
}

/// Reads paths by their numbers, each once.
pub(super) struct Reader<T> {
    paths: T,
    known: HashMap<u64, StorePath>,
}

impl<T: ReadableTable<u64, &'static str>> Reader<T> {
    /// `paths` is the table of them.
    pub(super) fn new(paths: T) -> Self {
        Self { paths, known: HashMap::new() }
    }

    /// The path of that number.
    pub(super) fn path(&mut self, number: u64) -> Result<StorePath, BookError> {
        if let Some(path) = self.known.get(&number) {
            return Ok(path.clone());
        }
        let path: StorePath = self.paths.get(number)?.ok_or(BookError::NoPath { number })?.value().parse()?;
        self.known.insert(number, path.clone());
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use redb::ReadableDatabase;

    use super::super::Book;
    use super::super::samples::store_path;
    use super::*;

    fn number_all(book: &Book, paths: &[StorePath]) -> Vec<u64> {
        let transaction = book.database.begin_write().unwrap();
        let mut register = Register::open(&transaction).unwrap();
        let numbers = paths.iter().map(|path| register.number(path).unwrap()).collect();
        drop(register);
        transaction.commit().unwrap();
        numbers
    }

    #[test]
    fn a_path_keeps_its_number_and_is_found_by_it() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let [a, b, c] = [(3, "a"), (2, "b"), (1, "c")].map(|(n, name)| store_path(n, name));
        assert_eq!(number_all(&book, &[a.clone(), b.clone(), a.clone()]), [0, 1, 0]);
        assert_eq!(number_all(&book, &[c.clone(), b.clone()]), [2, 1]);

        let read = book.database.begin_read().unwrap();
        let mut reader = Reader::new(read.open_table(PATHS).unwrap());
        assert_eq!([0, 1, 2].map(|number| reader.path(number).unwrap()), [a.clone(), b, c]);
        assert!(matches!(reader.path(3), Err(BookError::NoPath { number: 3 })));
        assert_eq!(number(&read, &a).unwrap(), Some(0));
        assert_eq!(number(&read, &store_path(9, "unheard-of")).unwrap(), None);
    }
}
