//! Who wants to know what a nar contains.

use std::io;

/// What is told of a nar, in its order. Every entry but a directory is over when the next thing is told.
pub trait NarSink {
    /// The next node is that of the entry `name` of the current directory.
    fn entry(&mut self, _name: &[u8]) -> io::Result<()> {
        Ok(())
    }

    /// A directory begins, and becomes the current one.
    fn directory(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The current directory ends.
    fn leave(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// A symlink.
    fn symlink(&mut self, _target: &[u8]) -> io::Result<()> {
        Ok(())
    }

    /// A file of `size` bytes begins.
    fn regular(&mut self, _executable: bool, _size: u64) -> io::Result<()> {
        Ok(())
    }

    /// Some bytes of the file.
    fn contents(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    /// The file is complete.
    fn end_regular(&mut self) -> io::Result<()> {
        Ok(())
    }
}
