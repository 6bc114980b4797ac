//! The name of one store item: a hash of 160 bits and a name. The store directory is not part of it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use arcstr::ArcStr;

use crate::error::ParseError;
use crate::nix32;
use crate::text::serde_as_str;

/// The length of the hash part, in characters of nix-base32.
pub const HASH_PART_CHARS: usize = 32;

/// The longest name, in bytes, as in Nix and Guix.
pub const MAX_NAME_BYTES: usize = 211;

/// `0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello-2.12`: what stands behind the store directory. Cheap to clone, and no larger
/// than a pointer: a farm keeps lists of tens of millions. Ordered as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorePath(ArcStr);

impl StorePath {
    /// The path of this hash and name. The name must be one that Nix accepts.
    pub fn from_parts(hash: &[u8; 20], name: &str) -> Result<Self, ParseError> {
        check_name(name.as_bytes(), name.as_bytes())?;
        Ok(Self(format!("{}-{name}", nix32::encode(hash)).into()))
    }

    /// From the bytes of the base name, as they stand in a `.drv` or a nar.
    pub(crate) fn from_bytes(base: &[u8]) -> Result<Self, ParseError> {
        let refuse = |why| ParseError::new("a store path", base, why);
        let Some((hash, name)) = base.split_at_checked(HASH_PART_CHARS) else {
            return Err(refuse("it is shorter than its hash"));
        };
        if !nix32::is_nix32(hash) {
            return Err(refuse("it does not begin with 32 characters of nix-base32"));
        }
        let name = name.strip_prefix(b"-").ok_or_else(|| refuse("there is no dash behind its hash"))?;
        check_name(name, base)?;
        let text = str::from_utf8(base).map_err(|_| refuse("it is not ASCII"))?;
        Ok(Self(text.into()))
    }

    /// The same in memory of its own: for who keeps one of very many that are read, and lets go of the others.
    pub fn apart(&self) -> Self {
        Self(self.as_str().into())
    }

    /// `hash-name`
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 32 characters of the hash.
    pub fn hash_part(&self) -> &str {
        &self.0[..HASH_PART_CHARS]
    }

    /// What stands behind the hash and its dash.
    pub fn name(&self) -> &str {
        &self.0[HASH_PART_CHARS + 1..]
    }

    /// Whether the name ends in `.drv`.
    pub fn is_derivation(&self) -> bool {
        self.name().ends_with(".drv")
    }
}

/// The hash part alone decides the bucket: it is already a hash.
impl Hash for StorePath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.hash_part().as_bytes());
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StorePath {
    type Err = ParseError;

    fn from_str(base: &str) -> Result<Self, ParseError> {
        Self::from_bytes(base.as_bytes())
    }
}

serde_as_str!(StorePath);

/// The rules of Nix (`path.cc`, `checkName`) for a name; `whole` is what an error shows.
pub(crate) fn check_name(name: &[u8], whole: &[u8]) -> Result<(), ParseError> {
    let refuse = |why| Err(ParseError::new("a store path", whole, why));
    match name {
        [] => refuse("its name is empty"),
        _ if name.len() > MAX_NAME_BYTES => refuse("its name is longer than 211 bytes"),
        [b'.'] | [b'.', b'.'] | [b'.', b'-', ..] | [b'.', b'.', b'-', ..] => refuse("its name is . or .. or begins so"),
        _ if name.iter().all(|b| NAME_CHARS[usize::from(*b)]) => Ok(()),
        _ => refuse("its name has a character that may not stand there"),
    }
}

const NAME_CHARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_' | b'?' | b'=');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello-2.12.drv";

    #[test]
    fn a_path_is_its_hash_and_its_name() {
        let path: StorePath = HELLO.parse().unwrap();
        assert_eq!((path.hash_part(), path.name()), ("0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy", "hello-2.12.drv"));
        assert!(path.is_derivation());
        assert_eq!(path.to_string(), HELLO);
        let hash: [u8; 20] = nix32::decode(path.hash_part()).unwrap().try_into().unwrap();
        assert_eq!(StorePath::from_parts(&hash, path.name()), Ok(path));
    }

    #[test]
    fn a_path_takes_no_more_than_a_pointer_where_it_is_listed() {
        assert_eq!(size_of::<StorePath>(), size_of::<usize>());
        assert_eq!(size_of::<Option<StorePath>>(), size_of::<usize>());
    }

    #[test]
    fn names_that_nix_refuses_are_refused() {
        let hash = &HELLO[..32];
        let long = "x".repeat(212);
        for name in ["", ".", "..", ".-a", "..-a", "a/b", "a b", "a\"", "ä", "a\0", &long] {
            assert!(format!("{hash}-{name}").parse::<StorePath>().is_err(), "{name:?} was accepted");
        }
        for bad in ["", hash, &format!("{hash}_a"), &format!("e{}", &HELLO[1..]), &HELLO[1..]] {
            assert!(bad.parse::<StorePath>().is_err(), "{bad:?} was accepted");
        }
        for name in [".hidden", "a+b?c=d_e.f-g", &long[1..]] {
            assert!(format!("{hash}-{name}").parse::<StorePath>().is_ok(), "{name:?} was refused");
        }
    }

    #[test]
    fn serde_writes_the_base_name() {
        let path: StorePath = HELLO.parse().unwrap();
        let json = serde_json::to_string(&path).unwrap();
        assert_eq!(json, format!("{HELLO:?}"));
        assert_eq!(serde_json::from_str::<StorePath>(&json).unwrap(), path);
        let packed = rmp_serde::to_vec_named(&path).unwrap();
        assert_eq!(rmp_serde::from_slice::<StorePath>(&packed).unwrap(), path);
    }
}
