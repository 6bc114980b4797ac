//! What a derivation makes: named outputs, each at a path that is known beforehand.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use arcstr::ArcStr;

use crate::error::ParseError;
use crate::store_path::check_name;
use crate::text::serde_as_str;
use crate::{Digest, StorePath};

/// The name of an output, `out` or `doc`. Nearly every one is `out`, which costs no allocation.
#[derive(Clone)]
pub struct OutputName(Option<ArcStr>);

impl OutputName {
    /// `out`
    pub const OUT: Self = Self(None);

    pub(crate) fn from_bytes(name: &[u8]) -> Result<Self, ParseError> {
        if name == b"out" {
            return Ok(Self::OUT);
        }
        let refuse = |why| ParseError::new("the name of an output", name, why);
        check_name(name, name).map_err(|e| refuse(e.why()))?;
        let name = str::from_utf8(name).map_err(|_| refuse("it is not ASCII"))?;
        Ok(Self(Some(name.into())))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("out")
    }
}

impl PartialEq for OutputName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for OutputName {}

impl PartialOrd for OutputName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OutputName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for OutputName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for OutputName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutputName({:?})", self.as_str())
    }
}

impl fmt::Display for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OutputName {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<Self, ParseError> {
        Self::from_bytes(name.as_bytes())
    }
}

serde_as_str!(OutputName);

/// How the contents of a fixed output are hashed, and what that must give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FixedHash {
    /// Whether the nar is hashed (`r:`), or the bytes of a single file.
    pub recursive: bool,
    /// The expected digest.
    pub digest: Digest,
}

impl FixedHash {
    /// `sha256` or `r:sha256`, as in a `.drv`.
    pub fn method_algo(&self) -> String {
        format!("{}{}", self.method(), self.digest.algo())
    }

    /// `r:` or nothing.
    pub(crate) fn method(&self) -> &'static str {
        if self.recursive { "r:" } else { "" }
    }

    /// From the two texts of a `.drv`: `r:sha256` and hexadecimal.
    pub fn parse(method_algo: &str, hex: &str) -> Result<Self, ParseError> {
        let (recursive, algo) = match method_algo.strip_prefix("r:") {
            Some(algo) => (true, algo),
            None => (false, method_algo),
        };
        let digest = Digest::parse(algo.parse()?, hex)?;
        if hex.len() != digest.as_bytes().len() * 2 {
            return Err(ParseError::new("the hash of a fixed output", hex, "it is not hexadecimal"));
        }
        Ok(Self { recursive, digest })
    }
}

/// One output of a derivation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where it will be.
    pub path: StorePath,
    /// What it must contain, where that is known beforehand.
    pub fixed: Option<FixedHash>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_sorts_among_other_names_as_text() {
        let mut names: Vec<OutputName> = ["static", "out", "doc", "debug"].iter().map(|n| n.parse().unwrap()).collect();
        names.sort();
        assert_eq!(names.iter().map(OutputName::as_str).collect::<Vec<_>>(), ["debug", "doc", "out", "static"]);
        assert_eq!("out".parse(), Ok(OutputName::OUT));
        assert!("a/b".parse::<OutputName>().is_err());
    }

    #[test]
    fn a_fixed_hash_is_hexadecimal_of_its_algorithm() {
        let fixed = FixedHash::parse("r:sha1", &"ab".repeat(20)).unwrap();
        assert!(fixed.recursive);
        assert_eq!(fixed.method_algo(), "r:sha1");
        assert!(FixedHash::parse("sha256", &"ab".repeat(20)).is_err());
        assert!(FixedHash::parse("r:sha256", "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73").is_err());
        assert!(FixedHash::parse("text:sha256", &"ab".repeat(32)).is_err());
    }
}
