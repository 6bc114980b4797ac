//! The journal's files. A segment begins with [`MAGIC`] and the journal's id, of eight bytes; behind that are lines. A line is
//! [`MARK`], its length (eight bytes, little-endian), the first eight bytes of the SHA-256 of what follows, and that: MessagePack
//! with named fields. Segments are called by the number of their first line.
//!
//! A line is on disk before the next is written. So only the last can be broken, by a kill while it was written, and then
//! nobody was ever told of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use drover_store::Sha256;
use serde::{Deserialize, Serialize};

use super::BookError;

const MAGIC: &[u8] = b"drover journal 1\n";
const ID_BYTES: usize = 8;
const MARK: &[u8] = b"\x97line\n\xd7\x0a";
const LENGTH_BYTES: usize = 8;
const DIGEST_BYTES: usize = 8;
const HEAD_BYTES: usize = MARK.len() + LENGTH_BYTES + DIGEST_BYTES;
/// The room in which a line is put together is kept from one to the next, up to so many bytes.
const LINE_BYTES_KEPT: usize = 1 << 20;

/// Which journal it is: each start of a scheduler begins one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct JournalId(pub(super) u64);

/// A segment that is written to.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    bytes: u64,
    line: Vec<u8>,
}

impl Segment {
    /// Begins one, in a folder that is there.
    pub(super) fn begin(folder: &Path, id: JournalId, first: u64) -> io::Result<Self> {
        let path = folder.join(format!("{first:020}"));
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        file.write_all(&[MAGIC, &id.0.to_le_bytes()].concat())?;
        file.sync_all()?;
        sync_folder(folder)?;
        Ok(Self { path, file, bytes: 0, line: Vec::new() })
    }

    /// Appends a line. When this returns, it is on disk.
    pub(super) fn append(&mut self, line: &impl Serialize) -> Result<(), BookError> {
        self.line.clear();
        self.line.resize(HEAD_BYTES, 0);
        rmp_serde::encode::write_named(&mut self.line, line)?;
        let (head, body) = self.line.split_at_mut(HEAD_BYTES);
        head.copy_from_slice(&self::head(body));
        self.file.write_all(&self.line)?;
        self.file.sync_data()?;
        self.bytes += self.line.len() as u64;
        self.line.shrink_to(LINE_BYTES_KEPT);
        Ok(())
    }

    /// How much its lines take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// No more is written to it.
    pub(super) fn end(self) -> PathBuf {
        self.path
    }
}

/// All segments of a folder, in order; none where there is no folder.
pub(super) fn all(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_one = |name: &str| name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry?;
        segments.extend(entry.file_name().to_str().filter(|name| is_one(name)).map(|_| entry.path()));
    }
    segments.sort();
    Ok(segments)
}

/// Lines that are whole, and whose journal they are. `None` for a segment that a kill left without its beginning.
pub(super) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<(JournalId, Vec<T>)>, BookError> {
    let bytes = fs::read(path)?;
    let Some((head, mut rest)) = bytes.split_at_checked(MAGIC.len() + ID_BYTES) else { return Ok(None) };
    let damaged = || BookError::Damaged { segment: path.display().to_string() };
    let id = head.strip_prefix(MAGIC).and_then(|id| id.try_into().ok()).ok_or_else(damaged)?;
    let mut lines = Vec::new();
    while let Some((body, behind)) = first_line(rest) {
        lines.push(super::decode("a line of the journal", body)?);
        rest = behind;
    }
    let is_followed = (1..rest.len()).any(|at| first_line(&rest[at..]).is_some());
    if is_followed {
        return Err(damaged());
    }
    Ok(Some((JournalId(u64::from_le_bytes(id)), lines)))
}

/// The line with which these bytes begin, if it is whole, and what is behind it.
fn first_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.strip_prefix(MARK).and_then(|_| bytes.split_at_checked(HEAD_BYTES))?;
    let length = u64::from_le_bytes(head[MARK.len()..][..LENGTH_BYTES].try_into().ok()?);
    let (body, behind) = rest.split_at_checked(length.try_into().ok()?)?;
    (self::head(body) == *head).then_some((body, behind))
}

/// What stands before a line.
fn head(body: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let (mark, rest) = head.split_at_mut(MARK.len());
    let (length, digest) = rest.split_at_mut(LENGTH_BYTES);
    mark.copy_from_slice(MARK);
    length.copy_from_slice(&(body.len() as u64).to_le_bytes());
    digest.copy_from_slice(&Sha256::of(body).as_bytes()[..DIGEST_BYTES]);
    head
}

/// Which files there are is on disk when this returns.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: JournalId = JournalId(7);

    fn written(folder: &Path, lines: &[&str]) -> PathBuf {
        let mut segment = Segment::begin(folder, ID, 1).unwrap();
        lines.iter().for_each(|line| segment.append(line).unwrap());
        segment.end()
    }

    fn lines(path: &Path) -> Result<Option<(JournalId, Vec<String>)>, BookError> {
        read(path)
    }

    #[test]
    fn what_is_appended_is_read_again_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &["one", "", "three"]);
        assert_eq!(lines(&path).unwrap(), Some((ID, vec!["one".to_owned(), String::new(), "three".to_owned()])));
        fs::write(folder.path().join("notes"), "").unwrap();
        assert_eq!(all(folder.path()).unwrap(), [path]);
        assert!(all(&folder.path().join("absent")).unwrap().is_empty());
    }

    #[test]
    fn wherever_a_kill_cuts_it_the_lines_before_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &["one", "two"]);
        let whole = fs::read(&path).unwrap();
        let second = whole.windows(MARK.len()).rposition(|bytes| bytes == MARK).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let read = lines(&path).unwrap().map(|(_, lines)| lines.len());
            let expected = (cut >= MAGIC.len() + ID_BYTES).then_some(usize::from(cut >= second));
            assert_eq!(read, expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_last_line_of_which_not_all_came_to_the_disk_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &["one", "two"]);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] = 0;
        fs::write(&path, bytes).unwrap();
        assert_eq!(lines(&path).unwrap(), Some((ID, vec!["one".to_owned()])));
    }

    #[test]
    fn a_broken_line_before_a_whole_one_is_no_kill() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &["one", "two"]);
        let whole = fs::read(&path).unwrap();
        let first = MAGIC.len() + ID_BYTES;
        for at in [0, 5, first, first + MARK.len(), first + HEAD_BYTES] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(matches!(lines(&path), Err(BookError::Damaged { .. })), "byte {at}");
        }
    }
}
