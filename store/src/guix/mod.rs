//! Guix's signatures: who vouches for a substitute, and how that is written down.
//!
//! Guix signs by ECDSA with deterministic nonces (RFC 6979), computed on the Edwards curve Ed25519, as libgcrypt does for
//! a key without the flag `eddsa`. That is not EdDSA, and nothing that speaks EdDSA can make or check it. Everything is
//! written as S-expressions. Guix: `guix/pki.scm`, `guix/narinfo.scm`; libgcrypt: `cipher/ecc-ecdsa.c`, `cipher/dsa-common.c`.

mod sexp;
mod affine;
mod ecdsa;
mod key;
mod signature;
mod acl;

pub use acl::{Acl, MAX_ACL_BYTES};
pub use key::{PublicKey, SecretKey};
pub use sexp::{MAX_SEXP_DEPTH, Sexp};
pub use signature::Signature;
