//! The signing keys, read from files. They exist nowhere else in the farm.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use drover_store::{ParseError, SecretKey};

/// The largest key file, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("{path} can be read by others than its owner: chmod 600 it")]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// It holds no key.
    #[error("{path}: {source}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: ParseError,
    },
}

/// Reads keys in Nix's format, one a file.
pub fn read_keys(paths: &[PathBuf]) -> Result<Vec<SecretKey>, KeyFileError> {
    paths.iter().map(|path| read_key(path)).collect()
}

fn read_key(path: &Path) -> Result<SecretKey, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.into() });
    }
    let mut text = String::new();
    file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text).map_err(io)?;
    SecretKey::parse(text.trim()).map_err(|source| KeyFileError::Malformed { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, SecretKey::generate("test-1").unwrap().to_file() + "\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(read_keys(std::slice::from_ref(&path)), Err(KeyFileError::Exposed { .. })));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(read_keys(&[path]).unwrap()[0].name(), "test-1");
    }
}
