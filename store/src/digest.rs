//! A digest of any algorithm that a fixed output may be declared with. Drover never computes any but SHA-256: it compares.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::error::ParseError;
use crate::text::serde_as_display;
use crate::{Sha256, hex, nix32};

/// A hash function that Nix or Guix knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgo {
    /// `md5`, 16 bytes
    Md5,
    /// `sha1`, 20 bytes
    Sha1,
    /// `sha256`, 32 bytes
    Sha256,
    /// `sha512`, 64 bytes
    Sha512,
}

impl HashAlgo {
    /// Its name, as in a `.drv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many bytes a digest of it has.
    pub fn digest_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for HashAlgo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HashAlgo {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|algo| algo.as_str() == text)
            .ok_or_else(|| ParseError::new("a hash algorithm", text, "only md5, sha1, sha256, and sha512 are known"))
    }
}

/// An algorithm and a digest of its length. Shown as `sha256:<nix-base32>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algo: HashAlgo,
    /// Zero behind the digest's own length.
    bytes: [u8; 64],
}

impl Digest {
    /// `None` if the length is not the algorithm's.
    pub fn new(algo: HashAlgo, digest: &[u8]) -> Option<Self> {
        let mut bytes = [0; 64];
        (digest.len() == algo.digest_bytes()).then(|| bytes[..digest.len()].copy_from_slice(digest))?;
        Some(Self { algo, bytes })
    }

    /// Reads lower-case hexadecimal, nix-base32 or base64; the length tells which.
    pub fn parse(algo: HashAlgo, text: &str) -> Result<Self, ParseError> {
        let size = algo.digest_bytes();
        let bytes = match text.len() {
            n if n == size * 2 => hex::decode(text),
            n if n == nix32::encoded_len(size) => nix32::decode(text),
            _ => BASE64.decode(text).ok(),
        };
        bytes.and_then(|bytes| Self::new(algo, &bytes)).ok_or_else(|| {
            ParseError::new("a digest", text, "it is neither hexadecimal, nix-base32, nor base64 of that algorithm")
        })
    }

    /// The algorithm.
    pub fn algo(&self) -> HashAlgo {
        self.algo
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algo.digest_bytes()]
    }

    /// In lower-case hexadecimal, without the algorithm.
    pub fn to_hex(&self) -> String {
        hex::encode(self.as_bytes())
    }

    /// The SHA-256, if it is one.
    pub fn as_sha256(&self) -> Option<Sha256> {
        (self.algo == HashAlgo::Sha256).then(|| self.as_bytes().try_into().ok().map(Sha256::from_bytes))?
    }
}

impl From<Sha256> for Digest {
    fn from(hash: Sha256) -> Self {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(hash.as_bytes());
        Self { algo: HashAlgo::Sha256, bytes }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algo, nix32::encode(self.as_bytes()))
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    /// `sha256:<any of the three encodings>` or SRI's `sha256-<base64>`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (algo, digest) = text
            .split_once([':', '-'])
            .ok_or_else(|| ParseError::new("a digest", text, "there is no algorithm before a colon"))?;
        Self::parse(algo.parse()?, digest)
    }
}

serde_as_display!(Digest);
