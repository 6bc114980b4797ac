//! ECDSA on the Edwards curve Ed25519, as libgcrypt computes it for Guix: what is secret is computed in constant time.

use curve25519_dalek::{EdwardsPoint, Scalar};
use rfc6979::KGenerator;
use rfc6979::bigint::U256;
use zeroize::Zeroizing;

use super::affine;
use crate::Sha256;

/// The order of the curve's group, n, a prime of 253 bits.
const ORDER: U256 = U256::from_be_hex("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");
/// How much longer a hash is than the order, in bits: those on its right do not count.
const HASH_EXCESS_BITS: usize = 3;

/// The two numbers of a signature, big endian, each below the order and not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) r: [u8; 32],
    pub(super) s: [u8; 32],
}

/// Signs a hash. The secret number is big endian, and may be larger than the order: libgcrypt makes it so, and feeds it
/// into the nonce as it is.
pub(super) fn sign(secret: &[u8; 32], hash: &Sha256) -> Numbers {
    let (d, e) = (Zeroizing::new(scalar(secret)), message(hash));
    let mut nonces = KGenerator::<sha2::Sha256, U256>::new(secret, hash.as_bytes(), b"", &ORDER);
    let mut nonce = Zeroizing::new([0; 32]);
    loop {
        nonces.fill_next_k(&mut *nonce);
        let k = Zeroizing::new(scalar(&nonce));
        let r = Scalar::from_bytes_mod_order(affine::x(&EdwardsPoint::mul_base(&k)));
        let s = k.invert() * (e + r * *d);
        if r != Scalar::ZERO && s != Scalar::ZERO {
            return Numbers { r: big_endian(&r), s: big_endian(&s) };
        }
    }
}

/// Whether these numbers are a signature of this hash by the owner of `key`.
pub(super) fn verify(key: &EdwardsPoint, hash: &Sha256, numbers: &Numbers) -> bool {
    let (Some(r), Some(s)) = (canonical(&numbers.r), canonical(&numbers.s)) else { return false };
    let w = s.invert();
    let point = EdwardsPoint::vartime_double_scalar_mul_basepoint(&(r * w), key, &(message(hash) * w));
    Scalar::from_bytes_mod_order(affine::x(&point)) == r
}

/// The point of a secret number.
pub(super) fn public(secret: &[u8; 32]) -> EdwardsPoint {
    EdwardsPoint::mul_base(&scalar(secret))
}

/// Modulo the order.
fn scalar(big_endian: &[u8; 32]) -> Scalar {
    let mut bytes = Zeroizing::new(*big_endian);
    bytes.reverse();
    Scalar::from_bytes_mod_order(*bytes)
}

/// The leftmost bits of a hash, as many as the order has.
fn message(hash: &Sha256) -> Scalar {
    let bytes = hash.as_bytes();
    let mut shifted = [0; 32];
    for (n, byte) in shifted.iter_mut().enumerate() {
        let carried = if n == 0 { 0 } else { bytes[n - 1] << (8 - HASH_EXCESS_BITS) };
        *byte = bytes[n] >> HASH_EXCESS_BITS | carried;
    }
    scalar(&shifted)
}

/// Below the order, and not zero.
fn canonical(big_endian: &[u8; 32]) -> Option<Scalar> {
    let mut bytes = *big_endian;
    bytes.reverse();
    Option::from(Scalar::from_canonical_bytes(bytes)).filter(|scalar| *scalar != Scalar::ZERO)
}

fn big_endian(scalar: &Scalar) -> [u8; 32] {
    let mut bytes = scalar.to_bytes();
    bytes.reverse();
    bytes
}
