//! The field `Signature:` of Guix's narinfos: `1;HOST;BASE64`, where what is in base64 is an S-expression.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::ecdsa::Numbers;
use super::key::number;
use super::{PublicKey, Sexp};
use crate::Sha256;
use crate::error::ParseError;

/// The longest field, in bytes.
const MAX_SIGNATURE_BYTES: usize = 8192;

/// A signature of a hash, and the key that it names as its own. That it was read says nothing: see
/// [`Signature::verify`], and whether the key is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    host: String,
    hash: Sha256,
    numbers: Numbers,
    key: PublicKey,
}

impl Signature {
    pub(super) fn new(host: &str, hash: Sha256, numbers: Numbers, key: PublicKey) -> Result<Self, ParseError> {
        if host.is_empty() || host.contains(|c: char| c == ';' || c.is_whitespace() || c.is_control()) {
            return Err(ParseError::new("the name of a host", host, "it is empty or has a semicolon or white space in it"));
        }
        Ok(Self { host: host.to_owned(), hash, numbers, key })
    }

    /// Whose key it is said to be; nobody checks that.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The hash that was signed.
    pub fn hash(&self) -> &Sha256 {
        &self.hash
    }

    /// The key that is said to have signed it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether the owner of [`Signature::key`] signed [`Signature::hash`].
    pub fn verify(&self) -> bool {
        self.key.verify(&self.hash, &self.numbers)
    }

    /// The expression, as Guix's `signature-sexp` has it.
    pub fn to_sexp(&self) -> Sexp {
        let hash = Sexp::list("hash", [Sexp::word("sha256"), Sexp::Atom(self.hash.as_bytes().to_vec())]);
        let data = Sexp::list("data", [Sexp::list("flags", [Sexp::word("rfc6979")]), hash]);
        let numbers =
            [("r", &self.numbers.r), ("s", &self.numbers.s)].map(|(name, number)| Sexp::pair(name, significant(number)));
        Sexp::list("signature", [data, Sexp::list("sig-val", [Sexp::list("ecdsa", numbers)]), self.key.to_sexp()])
    }

    fn from_sexp(host: &str, sexp: &Sexp) -> Result<Self, &'static str> {
        sexp.behind("signature").ok_or("it begins with another word")?;
        let hash = sexp.find("data").and_then(|data| data.find("hash")?.behind("hash")).ok_or("it is not of a hash")?;
        let hash = match hash {
            [algo, Sexp::Atom(hash)] if algo.is("sha256") => hash.as_slice().try_into().map_err(|_| "its hash is too short")?,
            _ => return Err("its hash is not a SHA-256"),
        };
        let ecdsa = sexp.find("sig-val").and_then(|values| values.find("ecdsa")).ok_or("it was not made by ECDSA")?;
        let get = |name| ecdsa.bytes(name).and_then(number).ok_or("its numbers are too large");
        let numbers = Numbers { r: get("r")?, s: get("s")? };
        let key = PublicKey::from_sexp(sexp.find("public-key").ok_or("it names no key")?)?;
        Ok(Self { host: host.to_owned(), hash: Sha256::from_bytes(hash), numbers, key })
    }
}

/// A number is written without the zeros in front of it.
fn significant(number: &[u8; 32]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1;{};{}", self.host, BASE64.encode(self.to_sexp().to_string()))
    }
}

impl FromStr for Signature {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |why| ParseError::new("a signature of Guix", text, why);
        if text.len() > MAX_SIGNATURE_BYTES {
            return Err(refuse("it is too long"));
        }
        let mut parts = text.splitn(3, ';');
        let (Some("1"), Some(host), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refuse("it is not of version 1"));
        };
        let sexp = BASE64.decode(encoded).map_err(|_| refuse("its last part is not base64"))?;
        let sexp = Sexp::parse(&sexp).map_err(|error| refuse(error.why()))?;
        Self::from_sexp(host, &sexp).map_err(refuse)
    }
}
