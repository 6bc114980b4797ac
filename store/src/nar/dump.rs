//! Writing the nar of what stands at a path. Nothing is followed, nothing is kept but the names of open directories.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{MAGIC, MAX_DEPTH, padding};

/// How much of a file is read at once, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes the nar of `path` to `out` and gives its size in bytes. Sockets, devices and the like are an error, and so is a file
/// that changes its size meanwhile. Short words are written one by one: give it a buffered writer.
pub fn dump(path: &Path, out: &mut impl Write) -> io::Result<u64> {
    let mut dumper = Dumper { out, written: 0, chunk: Vec::new() };
    dumper.word(MAGIC)?;
    dumper.tree(path)?;
    Ok(dumper.written)
}

struct Dumper<'w, W> {
    out: &'w mut W,
    written: u64,
    chunk: Vec<u8>,
}

/// A directory whose entries are being written: what is left of them, last first.
struct Open {
    path: PathBuf,
    left: Vec<OsString>,
}

impl<W: Write> Dumper<'_, W> {
    fn tree(&mut self, root: &Path) -> io::Result<()> {
        let mut open: Vec<Open> = Vec::new();
        open.extend(self.node(root)?);
        while let Some(dir) = open.last_mut() {
            let Some(name) = dir.left.pop() else {
                self.word(b")")?;
                open.pop();
                if !open.is_empty() {
                    self.word(b")")?;
                }
                continue;
            };
            let path = dir.path.join(&name);
            self.words(&[b"entry", b"(", b"name", name.as_bytes(), b"node"])?;
            match self.node(&path)? {
                Some(_) if open.len() == MAX_DEPTH => return Err(refuse(&path, "is too deep for a nar")),
                Some(dir) => open.push(dir),
                None => self.word(b")")?,
            }
        }
        Ok(())
    }

    /// Writes a node; of a directory only the beginning.
    fn node(&mut self, path: &Path) -> io::Result<Option<Open>> {
        let meta = fs::symlink_metadata(path).map_err(|e| name_it(path, e))?;
        let kind = meta.file_type();
        self.words(&[b"(", b"type"])?;
        if kind.is_dir() {
            self.word(b"directory")?;
            return Ok(Some(Open { path: path.to_owned(), left: entries(path)? }));
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(|e| name_it(path, e))?;
            self.words(&[b"symlink", b"target", target.as_os_str().as_bytes()])?;
        } else if kind.is_file() {
            self.file(path, &meta)?;
        } else {
            return Err(refuse(path, "is neither a file, a directory, nor a symlink"));
        }
        self.word(b")")?;
        Ok(None)
    }

    fn file(&mut self, path: &Path, meta: &Metadata) -> io::Result<()> {
        self.word(b"regular")?;
        if meta.permissions().mode() & 0o100 != 0 {
            self.words(&[b"executable", b""])?;
        }
        self.word(b"contents")?;
        self.raw(&meta.len().to_le_bytes())?;
        let mut file = File::open(path).map_err(|e| name_it(path, e))?.take(meta.len());
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(CHUNK_BYTES, 0);
        let mut left = meta.len();
        while left > 0 {
            let n = match file.read(&mut chunk) {
                Ok(0) => return Err(refuse(path, "shrank while it was read")),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(name_it(path, e)),
            };
            self.raw(&chunk[..n])?;
            left -= n as u64;
        }
        self.chunk = chunk;
        self.raw(&[0; 8][..padding(meta.len())])
    }

    fn words(&mut self, words: &[&[u8]]) -> io::Result<()> {
        words.iter().try_for_each(|word| self.word(word))
    }

    fn word(&mut self, word: &[u8]) -> io::Result<()> {
        self.raw(&(word.len() as u64).to_le_bytes())?;
        self.raw(word)?;
        self.raw(&[0; 8][..padding(word.len() as u64)])
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

/// The names in a directory, in descending order of their bytes.
fn entries(path: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(path).map_err(|e| name_it(path, e))?;
    let mut names = entries.map(|entry| Ok(entry.map_err(|e| name_it(path, e))?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
    Ok(names)
}

fn name_it(path: &Path, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

fn refuse(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} {why}", path.display()))
}
