//! The x coordinate of a point of the Edwards curve, which ECDSA needs and EdDSA does not, so that no library gives it.
//!
//! Only of points that everybody may know: half of the number is part of the signature, and the time that this takes
//! is not hidden.

use curve25519_dalek::EdwardsPoint;
use rfc6979::bigint::modular::ConstMontyForm;
use rfc6979::bigint::{U256, const_prime_monty_params};

const_prime_monty_params!(
    Modulus,
    U256,
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed",
    2,
    "2^255 - 19, the curve's field."
);

type Element = ConstMontyForm<Modulus, { U256::LIMBS }>;

/// -121665/121666, in the curve's equation -x² + y² = 1 + d x² y².
const D: Element = Element::new(&U256::from_be_hex("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3"));

/// x, little endian.
pub(super) fn x(point: &EdwardsPoint) -> [u8; 32] {
    let mut y = point.compress().to_bytes();
    let is_odd = y[31] >> 7 == 1;
    y[31] &= 0x7f;
    let square_of_y = Element::new(&U256::from_le_slice(&y)).square();
    // The divisor is never zero, since -1/d is no square; and of a point on the curve the quotient is one.
    let divisor = (D * square_of_y + Element::ONE).invert_vartime().unwrap_or(Element::ZERO);
    let root = ((square_of_y - Element::ONE) * divisor).sqrt().unwrap_or(Element::ZERO).retrieve();
    let x = if bool::from(root.is_odd()) == is_odd { root } else { (-Element::new(&root)).retrieve() };
    x.to_le_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::Scalar;

    #[test]
    fn the_base_point_and_its_opposite_have_the_coordinates_of_the_standard() {
        // RFC 8032, section 5.1.
        let expected = "216936d3cd6e53fec0a4e231fdd6dc5c692cc7609525a7b2c9562d608f25d51a";
        let base = EdwardsPoint::mul_base(&Scalar::ONE);
        assert_eq!(U256::from_le_slice(&x(&base)), U256::from_be_hex(expected));
        let sum = Element::new(&U256::from_le_slice(&x(&base))) + Element::new(&U256::from_le_slice(&x(&-base)));
        assert_eq!(sum, Element::ZERO);
    }
}
