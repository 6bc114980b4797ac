//! The content address of a store item: the proof that its path follows from its contents, so that it needs no signature.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::error::ParseError;
use crate::text::serde_as_display;
use crate::{Digest, FixedHash, Sha256, StoreDir, StorePath, compute};

/// As in a narinfo's `CA:` and in the daemon's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentAddress {
    /// `text:sha256:…`: a file written by an evaluator, such as a `.drv`.
    Text(Sha256),
    /// `fixed:…`: a source, or a fixed output.
    Fixed(FixedHash),
}

impl ContentAddress {
    /// The address of a source whose nar has this hash.
    pub fn source(nar_hash: Sha256) -> Self {
        Self::Fixed(FixedHash { recursive: true, digest: nar_hash.into() })
    }

    /// The path of an item of this address and name, with references to these others and not to itself.
    pub fn path_of(&self, store: &StoreDir, name: &str, references: &BTreeSet<StorePath>) -> Result<StorePath, ParseError> {
        self.compute(store, name, references, false)
    }

    /// Whether `path` is what this address gives with these references, of which `path` itself may be one.
    pub fn is_of(&self, store: &StoreDir, path: &StorePath, references: &BTreeSet<StorePath>) -> bool {
        let mut others = references.clone();
        let to_itself = others.remove(path);
        self.compute(store, path.name(), &others, to_itself).is_ok_and(|computed| computed == *path)
    }

    fn compute(
        &self,
        store: &StoreDir,
        name: &str,
        references: &BTreeSet<StorePath>,
        to_itself: bool,
    ) -> Result<StorePath, ParseError> {
        let refuse = |why| Err(ParseError::new("content-addressed", name, why));
        match self {
            Self::Text(_) if to_itself => refuse("a text cannot refer to itself"),
            Self::Text(hash) => compute::text_path(store, name, hash, references),
            Self::Fixed(fixed) => match fixed.digest.as_sha256() {
                Some(nar_hash) if fixed.recursive => compute::source_path(store, name, &nar_hash, references, to_itself),
                _ if to_itself || !references.is_empty() => refuse("only sources and texts may have references"),
                _ => compute::fixed_output_path(store, name, fixed),
            },
        }
    }
}

impl fmt::Display for ContentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(hash) => write!(f, "text:{hash}"),
            Self::Fixed(fixed) => write!(f, "fixed:{}{}", fixed.method(), fixed.digest),
        }
    }
}

impl FromStr for ContentAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digest = |rest: &str| -> Result<Digest, ParseError> { rest.parse() };
        match text.split_once(':') {
            Some(("text", rest)) => digest(rest)?
                .as_sha256()
                .map(Self::Text)
                .ok_or_else(|| ParseError::new("a content address", text, "a text is hashed by sha256")),
            Some(("fixed", rest)) => {
                let (recursive, rest) = rest.strip_prefix("r:").map_or((false, rest), |rest| (true, rest));
                Ok(Self::Fixed(FixedHash { recursive, digest: digest(rest)? }))
            }
            _ => Err(ParseError::new("a content address", text, "it begins neither with text: nor with fixed:")),
        }
    }
}

serde_as_display!(ContentAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        let hash = Sha256::of(b"x");
        for text in [format!("text:{hash}"), format!("fixed:r:{hash}"), format!("fixed:{hash}")] {
            assert_eq!(text.parse::<ContentAddress>().map(|ca| ca.to_string()), Ok(text));
        }
        assert!("fixed:q:sha256:0".parse::<ContentAddress>().is_err());
        assert!(format!("git:{hash}").parse::<ContentAddress>().is_err());
    }

    #[test]
    fn a_reference_to_itself_gives_another_path_than_none() {
        let (store, ca, none) = (StoreDir::nix(), ContentAddress::source(Sha256::of(b"nar")), BTreeSet::new());
        let path = ca.path_of(&store, "src", &none).unwrap();
        assert!(ca.is_of(&store, &path, &none));
        assert!(!ca.is_of(&store, &path, &BTreeSet::from([path.clone()])));
        assert!(!ca.is_of(&StoreDir::guix(), &path, &none));
    }
}
