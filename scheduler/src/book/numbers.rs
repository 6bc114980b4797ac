//! A list of numbers as it stands in a row: seven bits a byte, the lowest first, and the eighth says that more follow
//! (LEB128). A build has dozens of inputs, so that a byte more or less for each counts.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

const MORE: u8 = 0x80;

/// Numbers, in the order in which they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Numbers(Box<[u8]>);

impl Numbers {
    /// The numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        let mut bytes = self.0.iter();
        std::iter::from_fn(move || {
            let (mut number, mut shift) = (0, 0);
            loop {
                let byte = *bytes.next()?;
                // What does not fit is not one of ours, and is found to be nobody's number.
                number |= u64::from(byte & !MORE).checked_shl(shift).unwrap_or(u64::MAX);
                shift += 7;
                if byte & MORE == 0 {
                    return Some(number);
                }
            }
        })
    }
}

impl FromIterator<u64> for Numbers {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut bytes = Vec::new();
        for mut number in numbers {
            while number >= u64::from(MORE) {
                bytes.push(number as u8 | MORE);
                number >>= 7;
            }
            bytes.push(number as u8);
        }
        Self(bytes.into())
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?.into_vec();
        match bytes.last() {
            Some(last) if last & MORE != 0 => Err(serde::de::Error::custom("the last of its numbers has no end")),
            _ => Ok(Self(bytes.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let numbers = [0, 1, 127, 128, 16_383, 16_384, 5, u64::from(u32::MAX), u64::MAX];
        let written = numbers.into_iter().collect::<Numbers>();
        assert!(written.iter().eq(numbers));
        let row = rmp_serde::to_vec_named(&written).unwrap();
        assert_eq!(rmp_serde::from_slice::<Numbers>(&row).unwrap(), written);
        assert_eq!(Numbers::default().iter().count(), 0);
    }

    #[test]
    fn a_small_number_takes_a_byte_and_one_of_a_large_farm_four() {
        let bytes = |number: u64| Numbers::from_iter([number]).0.len();
        assert_eq!([127, 16_383, 2_000_000, 200_000_000].map(bytes), [1, 2, 3, 4]);
    }

    #[test]
    fn a_list_that_was_cut_is_refused() {
        let cut = rmp_serde::to_vec_named(serde_bytes::Bytes::new(&[1, 0x80])).unwrap();
        assert!(rmp_serde::from_slice::<Numbers>(&cut).is_err());
    }
}
