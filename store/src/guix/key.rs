//! Guix's keys, as `guix archive --generate-key` writes them to `/etc/guix/signing-key.pub` and `signing-key.sec`.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::edwards::CompressedEdwardsY;
use zeroize::Zeroizing;

use super::ecdsa::{self, Numbers};
use super::{Sexp, Signature};
use crate::error::ParseError;
use crate::text::serde_as_display;
use crate::{Sha256, hex};

/// The largest key file, in bytes.
const MAX_KEY_BYTES: usize = 4096;
const CURVE: &str = "Ed25519";

/// What signatures are verified with. Shown as Guix writes it, in several lines.
#[derive(Clone, Copy)]
pub struct PublicKey {
    q: [u8; 32],
    point: EdwardsPoint,
}

impl PublicKey {
    /// Reads `(public-key (ecc (curve Ed25519) (q #…#)))`. The error shows nothing of it: it may be a secret one by mistake.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let refuse = |why| ParseError::new("a public key of Guix", "", why);
        if text.len() > MAX_KEY_BYTES {
            return Err(refuse("it is too long"));
        }
        Self::from_sexp(&Sexp::parse(text.as_bytes()).map_err(|error| refuse(error.why()))?).map_err(refuse)
    }

    /// The curve's point in it.
    pub fn q(&self) -> &[u8; 32] {
        &self.q
    }

    /// The expression.
    pub fn to_sexp(&self) -> Sexp {
        Sexp::list("public-key", [Sexp::list("ecc", curve_and_q(&self.q))])
    }

    pub(super) fn from_sexp(sexp: &Sexp) -> Result<Self, &'static str> {
        let ecc = ecc(sexp, "public-key")?;
        let q = ecc.bytes("q").and_then(|q| q.try_into().ok()).ok_or("its q is not 32 bytes long")?;
        let point = CompressedEdwardsY(q).decompress().ok_or("its q is no point of the curve")?;
        Ok(Self { q, point })
    }

    /// Whether these numbers are this key's signature of a hash.
    pub(super) fn verify(&self, hash: &Sha256, numbers: &Numbers) -> bool {
        ecdsa::verify(&self.point, hash, numbers)
    }
}

/// Those that are equal verify the same.
impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.q == other.q
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(&self.q))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_sexp().fmt(f)
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
    /// Big endian, as in the file: it may be larger than the curve's order.
    d: Zeroizing<[u8; 32]>,
    public: PublicKey,
}

impl SecretKey {
    /// A new key, from the system's randomness, of the form that libgcrypt gives it: bit 254 is set, and the last three
    /// are not (`cipher/ecc.c`, `nist_generate_key`).
    pub fn generate() -> Self {
        let mut d = Zeroizing::new(rand::random::<[u8; 32]>());
        d[0] = d[0] & 0x7f | 0x40;
        d[31] &= 0xf8;
        Self::of(d)
    }

    /// Reads `(private-key (ecc (curve Ed25519) (q #…#) (d #…#)))`. The error shows nothing of it.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let refuse = |why| ParseError::new("a secret key of Guix", "", why);
        if text.len() > MAX_KEY_BYTES {
            return Err(refuse("it is too long"));
        }
        let sexp = Sexp::parse(text.as_bytes()).map_err(|error| refuse(error.why()))?;
        let ecc = ecc(&sexp, "private-key").map_err(refuse)?;
        let d = ecc.bytes("d").and_then(number).map(Zeroizing::new).ok_or_else(|| refuse("its d is no number of 32 bytes"))?;
        let key = Self::of(d);
        match ecc.bytes("q") {
            Some(q) if q != key.public.q => Err(refuse("its public half does not belong to it")),
            _ => Ok(key),
        }
    }

    /// The text of the key file.
    pub fn to_file(&self) -> String {
        let inside = curve_and_q(self.public.q()).into_iter().chain([Sexp::pair("d", &*self.d)]);
        Sexp::list("private-key", [Sexp::list("ecc", inside)]).to_string()
    }

    /// What its signatures are verified with.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs a text. `host` says whose key it is, to people only.
    pub fn sign(&self, host: &str, text: &str) -> Result<Signature, ParseError> {
        let hash = Sha256::of(text.as_bytes());
        Signature::new(host, hash, ecdsa::sign(&self.d, &hash), self.public)
    }

    fn of(d: Zeroizing<[u8; 32]>) -> Self {
        let point = ecdsa::public(&d);
        Self { d, public: PublicKey { q: point.compress().to_bytes(), point } }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, …)", hex::encode(&self.public.q))
    }
}

/// The number of a signature or a key, which is written without zeros in front of it, or with one.
pub(super) fn number(bytes: &[u8]) -> Option<[u8; 32]> {
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut number = [0; 32];
    number.get_mut(32_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(number)
}

fn curve_and_q(q: &[u8; 32]) -> [Sexp; 2] {
    [Sexp::list("curve", [Sexp::word(CURVE)]), Sexp::pair("q", q)]
}

/// `(ecc (curve Ed25519) …)` in a list that begins with `head`.
fn ecc<'a>(sexp: &'a Sexp, head: &str) -> Result<&'a Sexp, &'static str> {
    let [ecc] = sexp.behind(head).ok_or("it begins with another word")? else { return Err("it has another shape") };
    ecc.behind("ecc").ok_or("its kind is not ecc, the only one that is known here")?;
    match ecc.bytes("curve") {
        Some(curve) if curve == CURVE.as_bytes() => Ok(ecc),
        _ => Err("its curve is not Ed25519, the only one that is known here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_reads_back_and_its_halves_belong_together() {
        let key = SecretKey::generate();
        let again = SecretKey::parse(&key.to_file()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        let signature = again.sign("here", "text").unwrap();
        assert!(signature.verify() && *signature.key() == key.public());

        let other = key.to_file().replace(&hex::encode(key.public().q()).to_uppercase(), &"07".repeat(32));
        assert!(SecretKey::parse(&other).unwrap_err().why().contains("does not belong"));
    }

    #[test]
    fn errors_and_debug_show_nothing_secret() {
        let key = SecretKey::generate();
        let d = hex::encode(&*key.d);
        let broken = key.to_file().replace("Ed25519", "Ed448");
        let errors = [SecretKey::parse(&broken).unwrap_err(), PublicKey::parse(&key.to_file()).unwrap_err()];
        for shown in errors.map(|error| error.to_string()).into_iter().chain([format!("{key:?}")]) {
            assert!(!shown.to_lowercase().contains(&d[..8]), "{shown}");
        }
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for text in [
            "(public-key (rsa (n #00#) (e #03#)))",
            "(public-key (ecc (curve secp256k1) (q #04#)))",
            "(public-key (ecc (curve Ed25519) (q #04#)))",
            "(private-key (ecc (curve Ed25519) (q #04#)))",
            "cache-1:base64",
        ] {
            assert!(PublicKey::parse(text).is_err(), "{text}");
        }
        assert!(SecretKey::parse("(private-key (ecc (curve Ed25519) (q #04#)))").is_err());
    }
}
