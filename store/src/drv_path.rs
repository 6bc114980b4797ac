//! The name of a derivation: a store path that ends in `.drv`. A type of its own, so that nobody builds a source.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use crate::StorePath;
use crate::error::ParseError;
use crate::text::serde_as_str;

/// A [`StorePath`] whose name ends in `.drv`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrvPath(StorePath);

impl DrvPath {
    /// The same in memory of its own, see [`StorePath::apart`].
    pub fn apart(&self) -> Self {
        Self(self.0.apart())
    }

    /// The store path.
    pub fn as_store_path(&self) -> &StorePath {
        &self.0
    }

    /// The name that the derivation gives its outputs: `hello-2.12` of `…-hello-2.12.drv`.
    pub fn name_without_drv(&self) -> &str {
        let name = self.0.name();
        &name[..name.len() - ".drv".len()]
    }
}

impl TryFrom<StorePath> for DrvPath {
    type Error = ParseError;

    fn try_from(path: StorePath) -> Result<Self, ParseError> {
        match path.name().strip_suffix(".drv") {
            Some("") => Err(ParseError::new("a derivation's path", path.as_str(), "there is nothing before .drv")),
            Some(_) => Ok(Self(path)),
            None => Err(ParseError::new("a derivation's path", path.as_str(), "it does not end in .drv")),
        }
    }
}

impl From<DrvPath> for StorePath {
    fn from(path: DrvPath) -> Self {
        path.0
    }
}

impl Deref for DrvPath {
    type Target = StorePath;

    fn deref(&self) -> &StorePath {
        &self.0
    }
}

impl AsRef<StorePath> for DrvPath {
    fn as_ref(&self) -> &StorePath {
        &self.0
    }
}

impl fmt::Display for DrvPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DrvPath {
    type Err = ParseError;

    fn from_str(base: &str) -> Result<Self, ParseError> {
        base.parse::<StorePath>()?.try_into()
    }
}

serde_as_str!(DrvPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_ends_in_drv_is_a_derivation() {
        let drv: DrvPath = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello-2.12.drv".parse().unwrap();
        assert_eq!(drv.name_without_drv(), "hello-2.12");
        assert!("0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-hello-2.12".parse::<DrvPath>().is_err());
        assert!("0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-.drv".parse::<DrvPath>().is_err());
    }
}
