//! The open builds, read at the start of a reign: a million of them, with dozens of paths each. Rows are decoded by several
//! threads; then each path that they speak of is read once, and is the same in memory for all that speak of it.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use drover_messages::{BuildId, SubmissionId};
use drover_scheduler_core::OpenBuild;
use drover_store::StorePath;
use redb::{AccessGuard, ReadableDatabase, ReadableTable};
use uuid::Uuid;

use super::made::Made;
use super::number_set::{NumberSet, Places};
use super::store_dirs::StoreDirs;
use super::tables::*;
use super::{Book, BookError};

/// Rows that are read together.
const CHUNK: usize = 256;
/// So many times as many may wait, read, for the thread that takes them.
const CHUNKS_WAITING: usize = 64;
/// Builds that are made out of their rows before they are taken.
const PIECE: usize = 1024;
/// So many times as many may wait to be taken.
const PIECES_WAITING: usize = 8;
/// Paths that are passed over rather than looked for: to look costs as much as to read so many.
const PASSED_OVER: u64 = 16;

/// The open builds, as their rows say.
pub(crate) struct Open {
    /// In the order of making, piece by piece, the first piece last: each goes when it is done, and its memory is used again.
    made: Vec<Vec<Made>>,
    places: Places,
    /// What they speak of, where they say.
    paths: Vec<StorePath>,
}

impl Open {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.made.iter().map(Vec::len).sum()
    }

    /// Whose they are.
    pub(super) fn submissions(&self) -> impl Iterator<Item = SubmissionId> {
        self.made.iter().flatten().map(Made::submission)
    }

    /// What they speak of, where they say.
    pub(super) fn paths(&self) -> &[StorePath] {
        &self.paths
    }

    /// Has them taken, in the order of making, while a thread of its own makes the next of them out of their rows.
    pub(crate) fn each<T>(self, take: impl FnOnce(&mut dyn Iterator<Item = OpenBuild>) -> T) -> Result<T, BookError> {
        let (made, builds) = sync_channel(PIECES_WAITING);
        thread::scope(|scope| {
            let making = scope.spawn(move || self.make(&made));
            let taken = take(&mut builds.into_iter().flatten());
            making.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            Ok(taken)
        })
    }

    fn make(self, builds: &SyncSender<Vec<OpenBuild>>) -> Result<(), BookError> {
        let Self { mut made, places, paths } = self;
        let mut store_dirs = StoreDirs::default();
        let place = |number| places.place(number).ok_or(BookError::NoPath { number });
        let mut build = |mut made: Made| {
            made.row.store = store_dirs.shared(&made.row.store);
            let (build, needs) = made.build(|number| Ok(paths[place(number)?].clone()))?;
            let inputs = needs.iter().map(|number| Ok(place(number)? as u32)).collect::<Result<_, BookError>>()?;
            Ok::<_, BookError>(OpenBuild::new(build, inputs))
        };
        while let Some(piece) = made.pop() {
            let piece = piece.into_iter().map(&mut build).collect::<Result<_, _>>()?;
            if builds.send(piece).is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl Book {
    /// The builds that belong in memory.
    pub(super) fn open_builds(&self) -> Result<Open, BookError> {
        let (mut made, spoken_of) = self.open_made()?;
        // They are large: their places are sorted, and each is moved but once.
        made.sort_by_cached_key(Made::seq);
        let numbers: Vec<u64> = spoken_of.iter().collect();
        let paths = in_parts(&numbers, |numbers| self.paths(numbers))?;
        let mut pieces = Vec::new();
        while !made.is_empty() {
            pieces.push(made.split_off(made.len().saturating_sub(PIECE)));
        }
        Ok(Open { made: pieces, places: spoken_of.count(), paths })
    }

    /// Their rows, and the numbers of what they speak of. Several threads decode, this one takes what they did.
    fn open_made(&self) -> Result<(Vec<Made>, NumberSet), BookError> {
        let ids = self.open_ids()?;
        let mut made = Vec::with_capacity(ids.len());
        let mut spoken_of = self.no_numbers()?;
        let (read, rows) = sync_channel(CHUNKS_WAITING);
        thread::scope(|scope| {
            for part in parts(&ids) {
                let read = read.clone();
                scope.spawn(move || part.chunks(CHUNK).try_for_each(|ids| read.send(self.made(ids))));
            }
            drop(read);
            for chunk in rows {
                let mut chunk: Vec<Made> = chunk?;
                if let Some(number) = chunk.iter().flat_map(Made::numbers).find(|number| !spoken_of.insert(*number)) {
                    return Err(BookError::NoPath { number });
                }
                made.append(&mut chunk);
            }
            Ok((made, spoken_of))
        })
    }

    fn open_ids(&self) -> Result<Vec<BuildId>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(OPEN)?;
        table.iter()?.map(|row| Ok(BuildId::from_uuid(Uuid::from_bytes(row?.0.value())))).collect()
    }

    /// None of the numbers that paths have.
    fn no_numbers(&self) -> Result<NumberSet, BookError> {
        let read = self.database.begin_read()?;
        let paths = read.open_table(PATHS)?;
        let last = paths.last()?;
        Ok(NumberSet::below(last.map_or(0, |(last, _)| last.value() + 1)))
    }

    /// The paths of these numbers, which are in order.
    fn paths(&self, numbers: &[u64]) -> Result<Vec<StorePath>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(PATHS)?;
        let mut paths = Vec::with_capacity(numbers.len());
        for near in numbers.chunk_by(|one, next| next - one <= PASSED_OVER) {
            let mut rows = table.range(near[0]..)?;
            for number in near {
                let is_it = |row: &Result<(AccessGuard<'_, u64>, _), _>| row.as_ref().map_or(true, |(n, _)| n.value() == *number);
                let (_, path) = rows.find(is_it).transpose()?.ok_or(BookError::NoPath { number: *number })?;
                paths.push(path.value().parse()?);
            }
        }
        Ok(paths)
    }
}

/// Reads rows by several threads, and puts together what they read.
pub(super) fn in_parts<K: Sync, T: Send>(
    keys: &[K],
    read: impl Fn(&[K]) -> Result<Vec<T>, BookError> + Sync,
) -> Result<Vec<T>, BookError> {
    let read: Result<Vec<_>, BookError> = thread::scope(|scope| {
        let threads: Vec<_> = parts(keys).map(|part| scope.spawn(|| read(part))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    Ok(read?.into_iter().flatten().collect())
}

/// Rows for each of several threads.
fn parts<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    rows.chunks(rows.len().div_ceil(threads).max(CHUNK))
}

#[cfg(test)]
mod tests {
    use drover_scheduler_core::{Build, BuildState, WholeBuild};

    use super::super::samples::{id, needing, of, open, record, store_path};
    use super::*;

    fn needs(n: u8, inputs: impl IntoIterator<Item = u8>) -> WholeBuild {
        needing(of(n, "package", BuildState::Waiting { missing: 1 }), inputs)
    }

    #[test]
    fn of_all_paths_those_that_open_builds_speak_of_are_read() {
        let builds = [needs(1, 10..13), needs(2, 10..200), needs(3, [200, 11, 10, 150, 152])];
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let transaction = book.database.begin_write().unwrap();
        record(&transaction, &builds, &[]);
        for n in [1, 3] {
            transaction.open_table(OPEN).unwrap().insert(id(n), ()).unwrap();
        }
        transaction.commit().unwrap();

        let open = book.open_builds().unwrap();
        let paths = open.paths().to_vec();
        let named = |OpenBuild { build, inputs, .. }: &OpenBuild| WholeBuild {
            build: build.clone(),
            inputs: inputs.iter().map(|place| paths[*place as usize].clone()).collect(),
        };
        assert_eq!(open.len(), 2);
        let taken: Vec<WholeBuild> = open.each(|builds| builds.map(|build| named(&build)).collect()).unwrap();
        assert_eq!(taken, [builds[0].clone(), builds[2].clone()]);
        let inputs = [10, 11, 12, 150, 152, 200].map(|n| store_path(n, "input"));
        let mut spoken_of: Vec<StorePath> = inputs.into_iter().chain([1, 3].map(|n| store_path(n, "package"))).collect();
        spoken_of.sort_unstable();
        let mut paths = paths.clone();
        paths.sort_unstable();
        assert_eq!(paths, spoken_of);
    }

    #[test]
    fn many_are_taken_in_the_order_of_making() {
        let count = 2 * PIECE as u64 + 1;
        let one = of(1, "package", BuildState::Waiting { missing: 0 });
        let build = |n: u64| Build { id: BuildId::from_uuid(Uuid::from_u128(n.into())), seq: count - n, ..one.clone() };
        let builds: Vec<Build> = (0..count).map(build).collect();
        let (_folder, book) = open(&builds, &[]);
        let made = book.open_builds().unwrap();
        assert_eq!(made.len() as u64, count);
        let seqs: Vec<u64> = made.each(|builds| builds.map(|open| open.build.seq).collect()).unwrap();
        assert!(seqs.into_iter().eq(1..=count));
    }
}
