//! The part of a store path that names its item in a cache. Keys carry it in place of the whole path, whose name may
//! hold characters that some object stores do not take.

use std::fmt;
use std::str::FromStr;

use drover_store::StorePath;

use crate::KeyError;

const CHARS: usize = 32;
const ALPHABET: &[u8] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// The 32 characters of nix-base32 before a store path's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashPart([u8; CHARS]);

impl HashPart {
    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<&StorePath> for HashPart {
    fn from(path: &StorePath) -> Self {
        let mut chars = [b'0'; CHARS];
        chars.copy_from_slice(path.hash_part().as_bytes());
        Self(chars)
    }
}

impl FromStr for HashPart {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let chars: [u8; CHARS] = text.as_bytes().try_into().map_err(|_| KeyError::unknown(text))?;
        if !chars.iter().all(|char| ALPHABET.contains(char)) {
            return Err(KeyError::unknown(text));
        }
        Ok(Self(chars))
    }
}

impl fmt::Display for HashPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HashPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashPart({self})")
    }
}
