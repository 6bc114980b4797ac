//! The signing keys, read from files. They exist nowhere else in the farm. Nix's and Guix's are told apart by what they
//! look like.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use drover_store::{Family, NarInfo, ParseError, SecretKey, StoreDir, guix};

/// The largest key file, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 4096;
/// Whose key signatures of Guix are said to be. Nobody looks at it but people.
const GUIX_HOST: &str = "drover";

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
    /// There was one before.
    #[error("{path} is a second key of Guix: its narinfos bear one signature only")]
    SecondOfGuix {
        /// Which.
        path: PathBuf,
    },
}

/// This worker has no key that clients of a store would accept.
#[derive(Debug, thiserror::Error)]
#[error("there is no signing key for {store_dir} here: give this worker one of {family:?}'s kind")]
pub struct NoKey {
    store_dir: StoreDir,
    family: Family,
}

/// What a worker signs with. Nix's narinfos bear a signature of each of its keys, Guix's have place for one.
#[derive(Clone, Default)]
pub struct Keys {
    nix: Vec<SecretKey>,
    guix: Option<guix::SecretKey>,
}

impl Keys {
    /// These.
    pub fn new(nix: Vec<SecretKey>, guix: Option<guix::SecretKey>) -> Self {
        Self { nix, guix }
    }

    /// Reads keys, one a file.
    pub fn read(paths: &[PathBuf]) -> Result<Self, KeyFileError> {
        let mut keys = Self::default();
        for path in paths {
            keys.add(path)?;
        }
        Ok(keys)
    }

    fn add(&mut self, path: &Path) -> Result<(), KeyFileError> {
        let malformed = |source| KeyFileError::Malformed { path: path.into(), source };
        let text = read(path)?;
        if !text.starts_with('(') {
            self.nix.push(SecretKey::parse(&text).map_err(malformed)?);
        } else if self.guix.replace(guix::SecretKey::parse(&text).map_err(malformed)?).is_some() {
            return Err(KeyFileError::SecondOfGuix { path: path.into() });
        }
        Ok(())
    }

    /// Those whose clients can accept what is signed here.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        let nix = (!self.nix.is_empty()).then_some(Family::Nix);
        nix.into_iter().chain(self.guix.as_ref().map(|_| Family::Guix))
    }

    /// The public halves, as clients of a store name them: for Nix one a line, for Guix an S-expression.
    pub fn public(&self, store: &StoreDir) -> Result<String, NoKey> {
        self.check(store)?;
        Ok(match (store.family(), &self.guix) {
            (Family::Guix, Some(key)) => key.public().to_string(),
            _ => self.nix.iter().map(|key| format!("{}\n", key.public())).collect(),
        })
    }

    /// Signs a narinfo.
    pub(super) fn sign(&self, store: &StoreDir, narinfo: &mut NarInfo) -> Result<(), NoKey> {
        self.check(store)?;
        match (store.family(), &self.guix) {
            // The host's name is one that can be.
            (Family::Guix, Some(key)) => narinfo.signature = key.sign(GUIX_HOST, &narinfo.signed_lines(store)).ok(),
            _ => {
                let fingerprint = narinfo.fingerprint(store);
                narinfo.sigs = self.nix.iter().map(|key| key.sign(&fingerprint)).collect();
            }
        }
        Ok(())
    }

    fn check(&self, store: &StoreDir) -> Result<(), NoKey> {
        let family = store.family();
        match self.families().any(|known| known == family) {
            true => Ok(()),
            false => Err(NoKey { store_dir: store.clone(), family }),
        }
    }
}

/// Only their public halves.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nix = self.nix.iter().map(|key| key.public().to_string());
        let guix = self.guix.iter().map(|key| format!("{:?}", key.public()));
        f.debug_list().entries(nix.chain(guix)).finish()
    }
}

fn read(path: &Path) -> Result<String, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.into() });
    }
    let mut text = String::new();
    file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text).map_err(io)?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = SecretKey::generate("test-1").unwrap().to_file() + "\n";
        let exposed = write(dir.path(), "exposed", &text, 0o640);
        assert!(matches!(Keys::read(&[exposed]), Err(KeyFileError::Exposed { .. })));
        let hidden = write(dir.path(), "hidden", &text, 0o600);
        assert_eq!(Keys::read(&[hidden]).unwrap().nix[0].name(), "test-1");
    }

    #[test]
    fn keys_of_both_kinds_are_told_apart_by_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let (nix, guix) = (SecretKey::generate("test-1").unwrap(), guix::SecretKey::generate());
        let nix_file = write(dir.path(), "a", &nix.to_file(), 0o600);
        let guix_file = write(dir.path(), "b", &guix.to_file(), 0o400);
        let keys = Keys::read(&[guix_file.clone(), nix_file.clone()]).unwrap();
        assert_eq!(keys.families().collect::<Vec<_>>(), [Family::Nix, Family::Guix]);
        assert_eq!(keys.public(&StoreDir::guix()).unwrap(), guix.public().to_string());
        assert_eq!(keys.public(&StoreDir::nix()).unwrap(), format!("{}\n", nix.public()));

        assert!(Keys::read(&[nix_file]).unwrap().public(&StoreDir::guix()).is_err());
        let twice = Keys::read(&[guix_file.clone(), guix_file]);
        assert!(matches!(twice, Err(KeyFileError::SecondOfGuix { .. })));
    }
}
