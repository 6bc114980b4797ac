//! Lower-case hexadecimal, as it stands in a `.drv` and in what is hashed.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The text of these bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len() * 2);
    append(&mut text, bytes);
    // Hexadecimal digits are ASCII.
    String::from_utf8(text).unwrap_or_default()
}

/// Appends the text of these bytes.
pub(crate) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}

/// The bytes of this text; `None` unless it is lower-case hexadecimal of even length.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_pairs_are_read() {
        assert_eq!(encode(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(decode("001fff"), Some(vec![0, 0x1f, 0xff]));
        for bad in ["0", "0G", "FF", "0x", "é"] {
            assert_eq!(decode(bad), None, "{bad:?} was read");
        }
    }
}
