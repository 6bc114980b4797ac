//! Nix's base 32: digits and lower-case letters without e, o, t, u, the last bits first (`hash.cc`, `printHash32`).

const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// What a byte is worth as a digit; 255 if it is none.
const VALUES: [u8; 256] = {
    let mut table = [255; 256];
    let mut digit = 0;
    while digit < 32 {
        table[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// How many characters `bytes` bytes take.
pub const fn encoded_len(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

/// Whether every byte is a character of nix-base32.
pub fn is_nix32(text: &[u8]) -> bool {
    text.iter().all(|b| is_digit(*b))
}

/// Whether this byte is a character of nix-base32.
pub(crate) fn is_digit(byte: u8) -> bool {
    VALUES[usize::from(byte)] < 32
}

/// The text of these bytes.
pub fn encode(bytes: &[u8]) -> String {
    (0..encoded_len(bytes.len()))
        .rev()
        .map(|n| {
            let (byte, shift) = (n * 5 / 8, n * 5 % 8);
            let low = bytes[byte] >> shift;
            let high = bytes.get(byte + 1).map_or(0, |b| b.checked_shl(8 - shift as u32).unwrap_or(0));
            char::from(ALPHABET[usize::from((low | high) & 31)])
        })
        .collect()
}

/// The bytes of this text; `None` if a character is none of ours, or bits are set that no byte holds.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let len = text.len() * 5 / 8;
    if encoded_len(len) != text.len() {
        return None;
    }
    let mut bytes = vec![0_u8; len];
    for (n, c) in text.bytes().rev().enumerate() {
        let digit = VALUES[usize::from(c)];
        if digit > 31 {
            return None;
        }
        let (byte, shift) = (n * 5 / 8, n * 5 % 8);
        let both = u16::from(digit) << shift;
        let [low, high] = both.to_le_bytes();
        bytes[byte] |= low;
        match bytes.get_mut(byte + 1) {
            Some(next) => *next |= high,
            None if high != 0 => return None,
            None => {}
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_the_empty_text_reads_as_nix_writes_it() {
        // nix-hash --type sha256 --to-base32 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        let text = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";
        let bytes = crate::hex::decode("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").unwrap();
        assert_eq!(encode(&bytes), text);
        assert_eq!(decode(text), Some(bytes));
    }

    #[test]
    fn bits_that_no_byte_holds_are_refused() {
        let text = format!("z{}", "0".repeat(51));
        assert_eq!(decode(&text), None);
        assert_eq!(decode("e"), None);
        assert_eq!(decode(&"e".repeat(32)), None);
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..70)) {
            proptest::prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}
