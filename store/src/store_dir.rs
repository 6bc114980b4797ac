//! The directory that a store lives in. It is part of every hash, so that a path of one store says nothing about another.

use std::fmt;
use std::str::FromStr;

use arcstr::{ArcStr, literal};

use crate::StorePath;
use crate::error::ParseError;
use crate::text::serde_as_str;

/// The longest store directory accepted, in bytes.
const MAX_BYTES: usize = 255;

/// An absolute, normalised directory such as `/nix/store`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreDir(ArcStr);

/// Whose conventions a store follows: how its substitutes are described and signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Nix.
    Nix,
    /// Guix.
    Guix,
}

impl StoreDir {
    /// `/nix/store`
    pub fn nix() -> Self {
        Self(literal!("/nix/store"))
    }

    /// `/gnu/store`
    pub fn guix() -> Self {
        Self(literal!("/gnu/store"))
    }

    /// Guix is the one that lives in `/gnu/store`.
    pub fn family(&self) -> Family {
        if self.as_str() == "/gnu/store" { Family::Guix } else { Family::Nix }
    }

    /// The directory, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute path of `path` in this store.
    pub fn path(&self, path: &StorePath) -> String {
        format!("{}/{path}", self.0)
    }

    /// The store path that an absolute path names. Paths below a store path are refused.
    pub fn parse(&self, absolute: &str) -> Result<StorePath, ParseError> {
        absolute
            .strip_prefix(self.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .ok_or_else(|| ParseError::new("a store path", absolute, "it is not in the store directory"))?
            .parse()
    }

    /// The store directory and the store path of an absolute path whose store is not known: its last part must be the path.
    pub fn guess(absolute: &str) -> Result<(Self, StorePath), ParseError> {
        let (dir, base) = absolute
            .rsplit_once('/')
            .ok_or_else(|| ParseError::new("an absolute store path", absolute, "it has no directory"))?;
        Ok((dir.parse()?, base.parse()?))
    }

    /// The name of this store's folder in a bucket: `nix-store`. A dash in the directory is doubled, so that no two share one.
    pub fn slug(&self) -> String {
        self.0[1..].replace('-', "--").replace('/', "-")
    }
}

impl fmt::Display for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StoreDir {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |why| Err(ParseError::new("a store directory", text, why));
        if text.len() > MAX_BYTES {
            return refuse("it is longer than 255 bytes");
        }
        let Some(rest) = text.strip_prefix('/') else { return refuse("it is not absolute") };
        for part in rest.split('/') {
            match part {
                "" => return refuse("it has an empty part"),
                "." | ".." => return refuse("it is not normalised"),
                _ if part.starts_with('-') || part.ends_with('-') => return refuse("a part begins or ends with a dash"),
                _ => {}
            }
        }
        if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._+-".contains(&b)) {
            return refuse("it may have letters, digits, and ._+- only");
        }
        Ok(Self(text.into()))
    }
}

serde_as_str!(StoreDir);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normalised_absolute_directories_are_accepted() {
        for good in ["/nix/store", "/gnu/store", "/tmp/.tmpAb_c/a-b/store"] {
            assert_eq!(good.parse::<StoreDir>().map(|dir| dir.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "/", "nix/store", "/nix/store/", "/nix//store", "/nix/../store", "/nix/./store", "/a\"b", "/-a"] {
            assert!(bad.parse::<StoreDir>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn no_two_directories_share_a_slug() {
        let slug = |text: &str| text.parse::<StoreDir>().map(|dir| dir.slug());
        assert_eq!(slug("/nix/store"), Ok("nix-store".into()));
        assert_ne!(slug("/nix-store"), slug("/nix/store"));
    }

    #[test]
    fn a_path_below_a_store_path_is_not_a_store_path() {
        let path = "/nix/store/0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello";
        assert_eq!(StoreDir::nix().parse(path).map(|p| StoreDir::nix().path(&p)), Ok(path.to_owned()));
        assert!(StoreDir::nix().parse(&format!("{path}/bin")).is_err());
        assert!(StoreDir::guix().parse(path).is_err());
    }
}
