//! The keys of Guix's kind whose word counts, as they lie in files: `/etc/guix/acl`, or a server's `signing-key.pub`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use drover_store::ParseError;
use drover_store::guix::{Acl, MAX_ACL_BYTES, PublicKey};

/// Why a file of keys is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no such file.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ParseError,
    },
}

/// The keys in these lists of authorised keys, and in these files of one key each.
pub fn read_guix_keys(lists: &[PathBuf], keys: &[PathBuf]) -> Result<Vec<PublicKey>, TrustError> {
    let mut trusted = Vec::new();
    for path in lists {
        let acl = Acl::parse(&read(path)?).map_err(|source| TrustError::Malformed { path: path.clone(), source })?;
        trusted.extend_from_slice(acl.keys());
    }
    for path in keys {
        let key = PublicKey::parse(&read(path)?).map_err(|source| TrustError::Malformed { path: path.clone(), source })?;
        trusted.push(key);
    }
    Ok(trusted)
}

fn read(path: &Path) -> Result<String, TrustError> {
    let io = |source| TrustError::Io { path: path.into(), source };
    let mut text = String::new();
    std::fs::File::open(path).map_err(io)?.take(MAX_ACL_BYTES as u64 + 1).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use drover_store::guix::SecretKey;

    use super::*;

    #[test]
    fn keys_are_read_from_lists_and_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let (listed, single) = (SecretKey::generate().public(), SecretKey::generate().public());
        let (acl, key) = (dir.path().join("acl"), dir.path().join("signing-key.pub"));
        std::fs::write(&acl, format!("(acl (entry {listed} (tag (guix import))))")).unwrap();
        std::fs::write(&key, single.to_string()).unwrap();
        assert_eq!(read_guix_keys(std::slice::from_ref(&acl), std::slice::from_ref(&key)).unwrap(), [listed, single]);
        let error = read_guix_keys(&[key], &[]).unwrap_err();
        assert!(matches!(&error, TrustError::Malformed { .. }) && error.to_string().contains("signing-key.pub"), "{error}");
        assert!(matches!(read_guix_keys(&[dir.path().join("none")], &[]), Err(TrustError::Io { .. })));
    }
}
