//! The farm's folder: what lies where, who may read it, and that only one `drover up` works in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::fcntl::{Flock, FlockArg};

use super::child::Folders;
use crate::exit::bad_input;

/// A farm's folder, locked for this process.
pub(crate) struct Folder {
    dir: PathBuf,
    _lock: Flock<File>,
}

impl Folder {
    /// Makes the folder where it is missing, and locks it.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let dir = std::path::absolute(dir).with_context(|| dir.display().to_string())?;
        private_dir(&dir)?;
        let lock = lock(&dir)?;
        let folder = Self { dir, _lock: lock };
        for sub in ["secrets", "log", "run", "bucket", "nats", "scheduler", "agents"] {
            private_dir(&folder.path(sub))?;
        }
        Ok(folder)
    }

    /// The folder itself, absolute.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Something in it.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.join(relative)
    }

    /// Where the children's logs and pid files go.
    pub(crate) fn folders(&self) -> Folders {
        Folders { log: self.path("log"), run: self.path("run") }
    }

    /// The log of a child.
    pub(crate) fn log(&self, child: &str) -> PathBuf {
        self.folders().log_file(child)
    }

    /// Writes a file that anybody who can enter the folder may read, whole or not at all.
    pub(crate) fn write(&self, relative: &str, text: &str) -> anyhow::Result<()> {
        write_whole(&self.path(relative), text, 0o644)
    }

    /// Writes a file that only its owner may read, whole or not at all.
    pub(crate) fn write_secret(&self, relative: &str, text: &str) -> anyhow::Result<()> {
        write_whole(&self.path(relative), text, 0o600)
    }

    /// The secret in this file; one that `make` returns, written there, if there is none yet.
    pub(crate) fn secret(&self, relative: &str, make: impl FnOnce() -> String) -> anyhow::Result<String> {
        let path = self.path(relative);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim_end().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret = make();
                self.write_secret(relative, &format!("{secret}\n"))?;
                Ok(secret)
            }
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }
}

fn private_dir(dir: &Path) -> anyhow::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| dir.display().to_string())
}

fn lock(dir: &Path) -> anyhow::Result<Flock<File>> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
    let mut file = file.with_context(|| path.display().to_string())?;
    file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0)?;
            writeln!(lock, "{}", std::process::id())?;
            return Ok(lock);
        }
        Err((file, nix::errno::Errno::EWOULDBLOCK)) => file,
        Err((_, error)) => return Err(error).with_context(|| path.display().to_string()),
    };
    let pid = std::io::read_to_string(&mut file).unwrap_or_default();
    Err(bad_input(format!(
        "a farm runs in {} already, as process {}: use it, stop it by Ctrl-C there, or name another folder by --dir",
        dir.display(),
        pid.trim()
    )))
}

/// Writes beside, then renames.
pub(crate) fn write_whole(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let beside = path.with_added_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&beside)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_up_in_the_same_folder_is_told_who_runs_there() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(&dir.path().join("farm")).unwrap();
        let error = Folder::open(&dir.path().join("farm")).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(&format!("as process {}:", std::process::id())), "{error}");
        drop(first);
        Folder::open(&dir.path().join("farm")).unwrap();
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.secret("secrets/up", || "one".into()).unwrap(), "one");
        assert_eq!(folder.secret("secrets/up", || "two".into()).unwrap(), "one");
        let mode = std::fs::metadata(folder.path("secrets/up")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
