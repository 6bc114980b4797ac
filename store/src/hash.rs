//! SHA-256, the hash that names everything here.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

use crate::error::ParseError;
use crate::{Digest, HashAlgo, hex, nix32};

/// A SHA-256. Shown as `sha256:<nix-base32>`; in MessagePack it is 32 bytes, in JSON that text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// From the digest itself.
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(&self.0)
    }

    /// 52 characters of nix-base32.
    pub fn to_nix32(&self) -> String {
        nix32::encode(&self.0)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.to_nix32())
    }
}

impl FromStr for Sha256 {
    type Err = ParseError;

    /// Hexadecimal, nix-base32 or base64, behind `sha256:` or bare; or SRI's `sha256-<base64>`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digest = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha256-")).unwrap_or(text);
        Digest::parse(HashAlgo::Sha256, digest)?
            .as_sha256()
            .ok_or_else(|| ParseError::new("a SHA-256", text, "it is of another algorithm"))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(EitherForm)
        } else {
            deserializer.deserialize_bytes(EitherForm)
        }
    }
}

/// Reads both forms wherever it can: JSON turned into MessagePack by some tool has the text in it.
struct EitherForm;

impl Visitor<'_> for EitherForm {
    type Value = Sha256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SHA-256 as 32 bytes or as text")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Sha256, E> {
        bytes.try_into().map(Sha256).map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Sha256, E> {
        text.parse().map_err(E::custom)
    }
}

/// A SHA-256 in the making; whatever is written to it is hashed.
#[derive(Debug, Clone, Default)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes these bytes behind those before.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// The hash of everything.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

impl Write for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of the empty text, by `nix-hash --type sha256 --flat --to-…` and `nix hash to-sri`.
    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const NIX32: &str = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";
    const BASE64: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn a_hash_is_read_in_every_form_that_nix_writes() {
        let hash = Sha256::of(b"");
        assert_eq!((hash.to_hex().as_str(), hash.to_nix32().as_str()), (HEX, NIX32));
        for digest in [HEX, NIX32, BASE64] {
            assert_eq!(digest.parse(), Ok(hash));
            assert_eq!(format!("sha256:{digest}").parse(), Ok(hash));
        }
        assert_eq!(format!("sha256-{BASE64}").parse(), Ok(hash));
        for bad in ["", "sha256:", &HEX[1..], &format!("sha512:{HEX}"), &HEX.to_uppercase(), &BASE64[..43]] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad:?} was read");
        }
    }

    #[test]
    fn serde_writes_bytes_for_machines_and_text_for_people() {
        let hash = Sha256::of(b"");
        let packed = rmp_serde::to_vec_named(&hash).unwrap();
        assert_eq!(packed.len(), 34);
        assert_eq!(rmp_serde::from_slice::<Sha256>(&packed).unwrap(), hash);
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"sha256:{NIX32}\""));
        assert_eq!(serde_json::from_str::<Sha256>(&json).unwrap(), hash);
        let text = rmp_serde::to_vec_named(&hash.to_string()).unwrap();
        assert_eq!(rmp_serde::from_slice::<Sha256>(&text).unwrap(), hash);
    }
}
