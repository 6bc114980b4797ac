//! The agent's own folder: the spool, the roots of its outputs, and the highest generation it heard.
//!
//! One process has it at a time. Nothing in it is synced to disk: it has to survive the death of the process, which the
//! page cache does; after a power cut the scheduler offers again what the agent no longer knows.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use drover_messages::Generation;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::AgentError;

/// A state directory that is ours until this is dropped.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Takes the folder, made if it is missing.
    ///
    /// # Errors
    /// [`AgentError::StateDirTaken`] while another process has it.
    pub fn take(path: &Path) -> Result<Self, AgentError> {
        fs::create_dir_all(path).map_err(AgentError::state_dir(path))?;
        // The daemon must be given absolute paths of roots.
        let root = path.canonicalize().map_err(AgentError::state_dir(path))?;
        for folder in ["spool", "roots"] {
            fs::create_dir_all(root.join(folder)).map_err(AgentError::state_dir(&root))?;
        }
        let lock = File::create(root.join("lock")).map_err(AgentError::state_dir(&root))?;
        match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { root, _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(AgentError::StateDirTaken(root)),
            Err((_, errno)) => Err(AgentError::state_dir(&root)(errno.into())),
        }
    }

    /// Where attempts are kept until they are settled.
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Where the links are that keep outputs in the store.
    pub fn roots(&self) -> PathBuf {
        self.root.join("roots")
    }

    /// The highest generation that any process with this folder heard.
    ///
    /// # Errors
    /// If the file is there and says no number: taking it for 0 would obey a scheduler that is superseded.
    pub fn generation(&self) -> Result<Generation, AgentError> {
        let path = self.root.join("generation");
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Generation).map_err(io::Error::other).map_err(AgentError::state_dir(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Generation(0)),
            Err(error) => Err(AgentError::state_dir(&path)(error)),
        }
    }

    /// Remembers the highest generation heard.
    pub fn set_generation(&self, generation: Generation) -> io::Result<()> {
        replace(&self.root.join("generation"), format!("{generation}\n").as_bytes())
    }
}

/// Writes a file so that whoever reads it sees the old bytes or the new ones, also after a kill.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateDir::take(dir.path()).unwrap();
        assert!(matches!(StateDir::take(dir.path()), Err(AgentError::StateDirTaken(_))));
        drop(first);
        StateDir::take(dir.path()).unwrap();
    }

    #[test]
    fn the_generation_is_remembered_and_starts_at_zero() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::take(dir.path()).unwrap();
        assert_eq!(state.generation().unwrap(), Generation(0));
        state.set_generation(Generation(7)).unwrap();
        drop(state);
        assert_eq!(StateDir::take(dir.path()).unwrap().generation().unwrap(), Generation(7));
    }

    #[test]
    fn a_generation_that_cannot_be_read_is_not_taken_for_zero() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::take(dir.path()).unwrap();
        fs::write(dir.path().join("generation"), "seven").unwrap();
        assert!(state.generation().is_err());
    }
}
