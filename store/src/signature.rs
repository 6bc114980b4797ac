//! Nix's signatures: Ed25519 over the fingerprint of a narinfo, and its key files: `name:base64`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::error::ParseError;
use crate::text::serde_as_display;

/// A signature and the name of the key that made it. Shown as in a narinfo's `Sig:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// The key's name.
    pub name: String,
    /// The signature.
    pub bytes: [u8; 64],
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(self.bytes))
    }
}

impl FromStr for Signature {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (name, bytes) = named_bytes("a signature", text)?;
        Ok(Self { name, bytes })
    }
}

serde_as_display!(Signature);

/// What signatures are verified with; Nix's `trusted-public-keys` is a list of such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

impl PublicKey {
    /// Reads `name:base64` of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (name, bytes) = named_bytes("a public key", text)?;
        let key = VerifyingKey::from_bytes(&bytes)
            .map_err(|_| ParseError::new("a public key", text, "its bytes are no point of the curve"))?;
        Ok(Self { name, key })
    }

    /// The name that its signatures bear.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `signature` bears this key's name and is its signature of `fingerprint`.
    pub fn verify(&self, fingerprint: &str, signature: &Signature) -> bool {
        let bytes = ed25519_dalek::Signature::from_bytes(&signature.bytes);
        signature.name == self.name && self.key.verify_strict(fingerprint.as_bytes(), &bytes).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, BASE64.encode(self.key.as_bytes()))
    }
}

impl FromStr for PublicKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

serde_as_display!(PublicKey);

/// What signatures are made with. It is never shown by accident: only [`SecretKey::to_file`] gives it away.
#[derive(Clone)]
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

impl SecretKey {
    /// A new key, from the system's randomness. The name may not be empty or contain a colon or white space.
    pub fn generate(name: &str) -> Result<Self, ParseError> {
        check_key_name("the name of a key", name, name)?;
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(&rand::random()) })
    }

    /// Reads a key file of `nix-store --generate-binary-cache-key`: `name:base64` of the secret and the public key.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        // The error must not show the secret.
        let hidden = |e: ParseError| ParseError::new("a secret key", text.split(':').next().unwrap_or_default(), e.why());
        let (name, bytes) = named_bytes("a secret key", text).map_err(hidden)?;
        let key = SigningKey::from_keypair_bytes(&bytes)
            .map_err(|_| hidden(ParseError::new("a secret key", "", "its public half does not belong to it")))?;
        Ok(Self { name, key })
    }

    /// The text of the key file.
    pub fn to_file(&self) -> String {
        format!("{}:{}", self.name, BASE64.encode(self.key.to_keypair_bytes()))
    }

    /// The name that its signatures bear.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures are verified with.
    pub fn public(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// Signs a fingerprint.
    pub fn sign(&self, fingerprint: &str) -> Signature {
        Signature { name: self.name.clone(), bytes: self.key.sign(fingerprint.as_bytes()).to_bytes() }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, …)", self.name)
    }
}

fn named_bytes<const N: usize>(what: &'static str, text: &str) -> Result<(String, [u8; N]), ParseError> {
    let text = text.trim_end();
    let refuse = |why| ParseError::new(what, text, why);
    let (name, encoded) = text.split_once(':').ok_or_else(|| refuse("there is no colon behind its name"))?;
    check_key_name(what, text, name)?;
    let bytes = BASE64.decode(encoded).map_err(|_| refuse("what is behind its name is not base64"))?;
    let bytes = bytes.try_into().map_err(|_| refuse("it has the wrong length"))?;
    Ok((name.to_owned(), bytes))
}

fn check_key_name(what: &'static str, text: &str, name: &str) -> Result<(), ParseError> {
    if name.is_empty() || name.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control()) {
        return Err(ParseError::new(what, text, "its name is empty or has a colon or white space in it"));
    }
    Ok(())
}
