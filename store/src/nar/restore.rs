//! Unpacking a nar. Nothing that it says can lead out of the destination: names have no slash, everything is made anew, and
//! nothing that exists is opened, so that a symlink in the nar is never followed.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{NarError, NarFault, NarParser, NarSink};

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Unpacks the nar that `input` begins with to `dest`, which must not exist, and gives its size in bytes. Reads no byte beyond
/// its end, in small pieces: give it a buffered reader. What was unpacked before an error is left behind.
pub fn restore(input: &mut impl Read, dest: &Path) -> Result<u64, NarError> {
    let mut sink = Restore { path: dest.to_owned(), file: None };
    let mut parser = NarParser::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    while !parser.is_done() {
        let wanted = usize::try_from(parser.wanted()).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let fail = |fault| NarError { at: parser.position(), fault };
        match input.read(&mut chunk[..wanted]) {
            Ok(0) => return Err(fail(NarFault::Truncated)),
            Ok(n) => parser.feed(&chunk[..n], &mut sink)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(fail(e.into())),
        };
    }
    Ok(parser.position())
}

struct Restore {
    /// Where the next node goes; in a directory without a named entry, the directory.
    path: PathBuf,
    file: Option<File>,
}

/// The root is not an entry, and has no directory above it to go back to.
impl NarSink for Restore {
    fn entry(&mut self, name: &[u8]) -> io::Result<()> {
        self.path.push(OsStr::from_bytes(name));
        Ok(())
    }

    fn directory(&mut self) -> io::Result<()> {
        fs::create_dir(&self.path).map_err(|e| self.name_it(e))
    }

    fn leave(&mut self) -> io::Result<()> {
        self.path.pop();
        Ok(())
    }

    fn symlink(&mut self, target: &[u8]) -> io::Result<()> {
        symlink(OsStr::from_bytes(target), &self.path).map_err(|e| self.name_it(e))?;
        self.path.pop();
        Ok(())
    }

    fn regular(&mut self, executable: bool, _size: u64) -> io::Result<()> {
        let mode = if executable { 0o777 } else { 0o666 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&self.path);
        self.file = Some(file.map_err(|e| self.name_it(e))?);
        Ok(())
    }

    fn contents(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes).map_err(|e| self.name_it(e)),
            None => Ok(()),
        }
    }

    fn end_regular(&mut self) -> io::Result<()> {
        self.file = None;
        self.path.pop();
        Ok(())
    }
}

impl Restore {
    fn name_it(&self, e: io::Error) -> io::Error {
        io::Error::new(e.kind(), format!("{}: {e}", self.path.display()))
    }
}
