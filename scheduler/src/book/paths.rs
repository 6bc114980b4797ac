//! Store paths by numbers. Most paths are inputs of many builds, so that rows of builds speak of each by a number, which it
//! gets when the first build that speaks of it is recorded, and keeps. Those that came together have numbers side by side.
//!
//! A number is found by a mark of its path, which is a hash of it, or the next that was free. Marks are short: what is new
//! lies anywhere among them, so that the fewer pages they fill, the fewer each commit writes.

use drover_store::{Sha256, StorePath};
use hashbrown::HashMap;
use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::BookError;
use super::tables::{NUMBERS, PATHS};

/// Paths that are remembered at most, of those that were looked up.
const REMEMBERED: usize = 50_000;

/// Numbers that were looked up lately: neighbours have most of their inputs in common.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<StorePath, u64>);

/// Gives numbers to paths, in one transaction.
pub(super) struct Register<'t> {
    numbers: Table<'t, u64, u64>,
    paths: Table<'t, u64, &'static str>,
    next: u64,
    known: Known,
}

impl<'t> Register<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, BookError> {
        Self::knowing(transaction, Known::default())
    }

    /// One that goes on with what another knew, whose transaction is committed.
    pub(super) fn knowing(transaction: &'t WriteTransaction, known: Known) -> Result<Self, BookError> {
        let (numbers, paths) = (transaction.open_table(NUMBERS)?, transaction.open_table(PATHS)?);
        let next = paths.last()?.map_or(0, |(last, _)| last.value() + 1);
        Ok(Self { numbers, paths, next, known })
    }

    /// What it knows, to go on with once its transaction is committed.
    pub(super) fn into_known(self) -> Known {
        self.known
    }

    /// The number of a path; a new one, where it has none.
    pub(super) fn number(&mut self, path: &StorePath) -> Result<u64, BookError> {
        if let Some(number) = self.known.0.get(path) {
            return Ok(*number);
        }
        let number = match find(path, &self.numbers, &self.paths)? {
            Found::Number(number) => number,
            Found::Free { mark } => self.enter(path, mark)?,
        };
        if self.known.0.len() == REMEMBERED {
            self.known.0.clear();
        }
        self.known.0.insert(path.clone(), number);
        Ok(number)
    }

    fn enter(&mut self, path: &StorePath, mark: u64) -> Result<u64, BookError> {
        let number = self.next;
        self.numbers.insert(mark, number)?;
        self.paths.insert(number, path.as_str())?;
        self.next += 1;
        Ok(number)
    }
}

/// The number of a path, if any build was ever recorded that speaks of it.
pub(super) fn number(read: &ReadTransaction, path: &StorePath) -> Result<Option<u64>, BookError> {
    match find(path, &read.open_table(NUMBERS)?, &read.open_table(PATHS)?)? {
        Found::Number(number) => Ok(Some(number)),
        Found::Free { .. } => Ok(None),
    }
}

/// What is found at the mark of a path.
enum Found {
    Number(u64),
    /// It has no number, and this mark is nobody's.
    Free {
        mark: u64,
    },
}

fn find(
    path: &StorePath,
    numbers: &impl ReadableTable<u64, u64>,
    paths: &impl ReadableTable<u64, &'static str>,
) -> Result<Found, BookError> {
    let mut mark = mark(path);
    while let Some(number) = numbers.get(mark)?.map(|number| number.value()) {
        if paths.get(number)?.is_some_and(|known| known.value() == path.as_str()) {
            return Ok(Found::Number(number));
        }
        mark = mark.wrapping_add(1);
    }
    Ok(Found::Free { mark })
}

/// Where the number of a path is looked for first. The hash in its name will not do: nobody has computed that of a source yet,
/// and many could be made alike.
fn mark(path: &StorePath) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *Sha256::of(path.as_str().as_bytes()).as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
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

    #[test]
    fn what_one_register_knew_another_goes_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let [a, b] = [(1, "a"), (2, "b")].map(|(n, name)| store_path(n, name));
        let mut known = Known::default();
        for _ in 0..2 {
            let transaction = book.database.begin_write().unwrap();
            let mut register = Register::knowing(&transaction, known).unwrap();
            assert_eq!([&a, &b].map(|path| register.number(path).unwrap()), [0, 1]);
            known = register.into_known();
            transaction.commit().unwrap();
        }
    }

    #[test]
    fn paths_of_one_mark_have_numbers_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let [a, b] = [(1, "a"), (2, "b")].map(|(n, name)| store_path(n, name));
        number_all(&book, std::slice::from_ref(&a));
        let transaction = book.database.begin_write().unwrap();
        // As if both had the mark of the second, and the one before had come first.
        transaction.open_table(NUMBERS).unwrap().insert(mark(&b), 0).unwrap();
        transaction.commit().unwrap();
        assert_eq!(number_all(&book, &[b.clone(), a.clone()]), [1, 0]);
        assert_eq!(number_all(&book, std::slice::from_ref(&b)), [1]);
        let read = book.database.begin_read().unwrap();
        assert_eq!([&a, &b].map(|path| number(&read, path).unwrap()), [Some(0), Some(1)]);
    }
}
