//! The journal's files. A segment begins with [`MAGIC`]; behind that are lines. A line is [`MARK`], its length (eight bytes,
//! little-endian), the first eight bytes of the SHA-256 of what follows, and that: MessagePack with named fields. Segments are
//! called by the id of their journal, of sixteen hexadecimal digits, and their place in it, of ten decimal ones.
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
const MARK: &[u8] = b"\x97line\n\xd7\x0a";
const LENGTH_BYTES: usize = 8;
const DIGEST_BYTES: usize = 8;
const HEAD_BYTES: usize = MARK.len() + LENGTH_BYTES + DIGEST_BYTES;
/// The room in which a line is put together is kept from one to the next, up to so many bytes.
const LINE_BYTES_KEPT: usize = 1 << 20;

/// Which journal it is: each start of a scheduler begins one. None is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JournalId(pub(super) u64);

/// Which segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) journal: JournalId,
    place: u64,
}

impl Name {
    pub(super) fn first_of(journal: JournalId) -> Self {
        Self { journal, place: 0 }
    }

    pub(super) fn next(&self) -> Self {
        Self { journal: self.journal, place: self.place + 1 }
    }

    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{:016x}-{:010}", self.journal.0, self.place))
    }

    fn parse(name: &str) -> Option<Self> {
        let (journal, place) = name.split_once('-').filter(|(journal, place)| journal.len() == 16 && place.len() == 10)?;
        Some(Self { journal: JournalId(u64::from_str_radix(journal, 16).ok()?), place: place.parse().ok()? })
    }
}

/// A segment that is written to.
#[derive(Debug)]
pub(super) struct Segment {
    name: Name,
    file: File,
    bytes: u64,
    line: Vec<u8>,
}

impl Segment {
    /// Begins one, in a folder that is there. When this returns, it is on disk.
    pub(super) fn begin(folder: &Path, name: Name) -> io::Result<Self> {
        let mut file = OpenOptions::new().append(true).create_new(true).open(name.path(folder))?;
        file.write_all(MAGIC)?;
        file.sync_all()?;
        sync_folder(folder)?;
        Ok(Self { name, file, bytes: 0, line: Vec::new() })
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

    pub(super) fn name(&self) -> &Name {
        &self.name
    }
}

/// All segments of a folder, in order; none where there is no folder.
pub(super) fn all(folder: &Path) -> io::Result<Vec<Name>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names: Vec<_> = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    let mut segments: Vec<Name> = names.iter().filter_map(|name| Name::parse(name.to_str()?)).collect();
    segments.sort();
    Ok(segments)
}

/// The lines of a segment that are whole.
pub(super) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>, BookError> {
    let bytes = fs::read(path)?;
    // One that was killed while it was begun has less than its beginning, and no line.
    let (is_begun, mut rest) = bytes.strip_prefix(MAGIC).map_or((false, bytes.as_slice()), |rest| (true, rest));
    let mut lines = Vec::new();
    while is_begun && let Some((body, behind)) = first_line(rest) {
        lines.push(super::decode("a line of the journal", body)?);
        rest = behind;
    }
    match (0..rest.len()).any(|at| first_line(&rest[at..]).is_some()) {
        true => Err(BookError::Damaged { segment: path.display().to_string() }),
        false => Ok(lines),
    }
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

    fn written(folder: &Path, lines: &[&str]) -> PathBuf {
        let mut segment = Segment::begin(folder, Name::first_of(JournalId(7)).next()).unwrap();
        lines.iter().for_each(|line| segment.append(line).unwrap());
        segment.name().path(folder)
    }

    fn lines(path: &Path) -> Result<Vec<String>, BookError> {
        read(path)
    }

    #[test]
    fn what_is_appended_is_read_again_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &["one", "", "three"]);
        assert_eq!(lines(&path).unwrap(), ["one", "", "three"]);
        fs::write(folder.path().join("notes"), "").unwrap();
        let first = Segment::begin(folder.path(), Name::first_of(JournalId(7))).unwrap();
        assert_eq!(all(folder.path()).unwrap(), [first.name().clone(), first.name().next()]);
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
            assert_eq!(lines(&path).unwrap().len(), usize::from(cut >= second), "cut at {cut}");
            // The length may be on disk before what is there.
            fs::write(&path, [&whole[..cut], &[0; 100]].concat()).unwrap();
            assert_eq!(lines(&path).unwrap().len(), usize::from(cut >= second), "zeros from {cut}");
        }
    }

    #[test]
    fn a_broken_line_before_a_whole_one_is_no_kill() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &["one", "two"]);
        let whole = fs::read(&path).unwrap();
        let first = MAGIC.len();
        for at in [0, 5, first, first + MARK.len(), first + HEAD_BYTES] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(matches!(lines(&path), Err(BookError::Damaged { .. })), "byte {at}");
        }
    }
}
