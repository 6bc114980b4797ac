//! The folder of a farm, and where each thing lies in it.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use drover_nats::Login;

/// A temporary folder.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// A new one. Builders of any uid may leave files in its `starts`.
    #[allow(clippy::new_without_default)] // It makes a folder.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("farm-").tempdir_in("/tmp").unwrap();
        let folder = Self(dir);
        std::fs::create_dir(folder.starts()).unwrap();
        for (path, mode) in [(folder.path().to_owned(), 0o711), (folder.starts(), 0o1777)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        folder
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The folder that is the bucket.
    pub fn bucket(&self) -> PathBuf {
        self.join("bucket")
    }

    /// Its URL.
    pub fn bucket_url(&self) -> String {
        format!("file://{}", self.bucket().display())
    }

    /// The scheduler's state.
    pub fn scheduler(&self) -> PathBuf {
        self.join("scheduler")
    }

    /// Where builders leave a file at their start.
    pub fn starts(&self) -> PathBuf {
        self.join("starts")
    }

    /// Written by the scheduler when it serves.
    pub(crate) fn scheduler_ready(&self) -> PathBuf {
        self.join("scheduler.ready")
    }

    /// What the cache writes when it serves.
    pub(crate) fn cache_port(&self) -> PathBuf {
        self.join("cache.port")
    }

    /// The file of a login's password, which is written.
    pub fn password_file(&self, login: &Login) -> PathBuf {
        let path = self.join(&format!("{}.password", login.user));
        write_secret(&path, &login.password);
        path
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, secret: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, secret.as_bytes()).unwrap();
}
