//! Standard output. Whoever reads it may stop before its end, as `head` does: then `drover` ends as well, without a word.
//!
//! The default of SIGPIPE would do that too, but for connections as well: a broker or a daemon that goes away must end nobody.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::exit;

use crate::exit::Exit;

/// Prints, where the standard library's panics if nobody reads.
macro_rules! print {
    ($($words:tt)*) => { $crate::out::print(format_args!($($words)*)) };
}

/// The same, with the end of a line.
macro_rules! println {
    ($($words:tt)*) => { $crate::out::print(format_args!("{}\n", format_args!($($words)*))) };
}

pub(crate) fn print(words: fmt::Arguments<'_>) {
    if let Err(error) = stdout().write_fmt(words) {
        eprintln!("drover: cannot print: {error}");
        exit(Exit::Farm as i32);
    }
}

/// Where everything goes that is printed.
pub(crate) fn stdout() -> Out {
    Out(io::stdout())
}

/// Standard output, with which the process ends.
pub(crate) struct Out(io::Stdout);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_end(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        or_end(self.0.flush())
    }
}

fn or_end<T>(written: io::Result<T>) -> io::Result<T> {
    if written.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        exit(Exit::Unread as i32);
    }
    written
}
