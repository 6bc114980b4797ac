//! What an agent's store holds, told in few bytes: a Bloom filter. It knows hashes, not names, and may take something
//! for held that is not; never the other way round.
//!
//! The positions of an item follow from two numbers by double hashing (Kirsch and Mitzenmacher, "Less Hashing, Same
//! Performance: Building a Better Bloom Filter", 2006). Store paths carry a hash already, which gives both.

use std::fmt;

use drover_store::{StorePath, hex, nix32};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest filter, in bytes: room for 100,000 items.
pub const MAX_HOLDINGS_BYTES: usize = 128 << 10;
/// The smallest that is made, in bytes: room for 200 items, so that a store that begins empty has some.
pub const MIN_HOLDINGS_BYTES: usize = 256;
/// The most items that one beat tells as gained.
pub const MAX_GAINED: usize = 1_000;

/// With this many bits an item, and [`MAX_POSITIONS`], one in a hundred is taken for held that is not.
const BITS_AN_ITEM: usize = 10;
/// Positions of an item; fewer in a filter that is too small for what it holds.
const MAX_POSITIONS: u8 = 7;

/// A store item in 64 bits: the first 8 bytes of the hash in its path, read as a little-endian number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// That of this item.
    pub fn of(path: &StorePath) -> Self {
        let hash = nix32::decode(path.hash_part()).unwrap_or_default();
        Self(hash.first_chunk().map_or(0, |first| u64::from_le_bytes(*first)))
    }
}

/// A set of store items, a little too large: a Bloom filter.
///
/// In MessagePack its bits are bytes, in JSON hexadecimal; the first bit is the lowest of the first byte.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Untested")]
pub struct Holdings {
    positions: u8,
    #[serde(serialize_with = "write_bits")]
    bits: Vec<u8>,
}

impl Holdings {
    /// These items, in 10 bits each as far as [`MAX_HOLDINGS_BYTES`] allow.
    pub fn of(items: impl ExactSizeIterator<Item = Fingerprint>) -> Self {
        let bytes = (items.len().saturating_mul(BITS_AN_ITEM) / 8).clamp(MIN_HOLDINGS_BYTES, MAX_HOLDINGS_BYTES);
        let mut holdings = Self { positions: best_positions(bytes * 8, items.len()), bits: vec![0; bytes] };
        items.for_each(|item| holdings.insert(item));
        holdings
    }

    /// Adds an item. There is no end to it, but a filter that was made for few does not tell many apart.
    pub fn insert(&mut self, item: Fingerprint) {
        for position in self.positions_of(item) {
            self.bits[position / 8] |= 1 << (position % 8);
        }
    }

    /// Whether the item may be among these. `false` is certain.
    pub fn may_have(&self, item: Fingerprint) -> bool {
        self.positions_of(item).all(|position| self.bits[position / 8] & (1 << (position % 8)) != 0)
    }

    fn positions_of(&self, Fingerprint(item): Fingerprint) -> impl Iterator<Item = usize> + use<> {
        let bits = self.bits.len() as u64 * 8;
        let (first, step) = (item & u64::from(u32::MAX), (item >> 32) | 1);
        (0..u64::from(self.positions)).map(move |n| ((first + n * step) % bits) as usize)
    }
}

/// How many positions mistake least: bits an item, times ln 2.
fn best_positions(bits: usize, items: usize) -> u8 {
    let best = (bits * 693 / 1000 + items / 2) / items.max(1);
    best.clamp(1, MAX_POSITIONS.into()) as u8
}

impl fmt::Debug for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holdings({} positions in {} bytes)", self.positions, self.bits.len())
    }
}

/// What somebody says are holdings.
#[derive(Deserialize)]
struct Untested {
    positions: u8,
    #[serde(deserialize_with = "read_bits")]
    bits: Vec<u8>,
}

impl TryFrom<Untested> for Holdings {
    type Error = &'static str;

    fn try_from(Untested { positions, bits }: Untested) -> Result<Self, Self::Error> {
        match (positions, bits.len()) {
            (1..=MAX_POSITIONS, 1..=MAX_HOLDINGS_BYTES) => Ok(Self { positions, bits }),
            (1..=MAX_POSITIONS, _) => Err("holdings have 1 to 131072 bytes"),
            _ => Err("holdings have 1 to 7 positions an item"),
        }
    }
}

fn write_bits<S: Serializer>(bits: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() { hex::encode(bits).serialize(serializer) } else { serializer.serialize_bytes(bits) }
}

fn read_bits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    if deserializer.is_human_readable() { deserializer.deserialize_str(Bits) } else { deserializer.deserialize_bytes(Bits) }
}

/// Reads both forms wherever it can, as for hashes.
struct Bits;

impl Visitor<'_> for Bits {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bits as bytes or as hexadecimal")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        if bytes.len() <= MAX_HOLDINGS_BYTES { Ok(bytes.to_vec()) } else { Err(E::invalid_length(bytes.len(), &self)) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        hex::decode(text).ok_or_else(|| E::custom("bits are lower-case hexadecimal"))
    }
}

/// Reads what was gained, of which there is no more than [`MAX_GAINED`].
pub(crate) fn read_gained<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Fingerprint>, D::Error> {
    let gained = Vec::<Fingerprint>::deserialize(deserializer)?;
    if gained.len() <= MAX_GAINED { Ok(gained) } else { Err(D::Error::custom("a beat tells at most 1000 items as gained")) }
}

#[cfg(test)]
mod tests {
    use drover_store::Sha256;
    use serde_json::json;

    use super::*;
    use crate::agent::Beat;
    use crate::{Format, decode, encode};

    /// As many different items as wanted, spread as those of a store are.
    fn items(of: &str, count: usize) -> Vec<Fingerprint> {
        (0..count).map(|n| Sha256::of(format!("{of} {n}").as_bytes())).map(|hash| fingerprint(hash.as_bytes())).collect()
    }

    fn fingerprint(hash: &[u8; 32]) -> Fingerprint {
        Fingerprint::of(&StorePath::from_parts(hash.first_chunk().unwrap(), "x").unwrap())
    }

    fn percent_taken_for_held(holdings: &Holdings) -> usize {
        let strangers = items("strangers", 10_000);
        strangers.iter().filter(|item| holdings.may_have(**item)).count() / 100
    }

    #[test]
    fn a_fingerprint_is_the_first_eight_bytes_of_the_hash() {
        let mut hash = [9; 20];
        hash[..8].copy_from_slice(&0x0123_4567_89ab_cdef_u64.to_le_bytes());
        let path = StorePath::from_parts(&hash, "hello").unwrap();
        assert_eq!(Fingerprint::of(&path), Fingerprint(0x0123_4567_89ab_cdef));
    }

    #[test]
    fn what_is_held_is_never_denied_and_little_else_is_taken_for_held() {
        for count in [0, 1, 200, 20_000, 100_000] {
            let held = items("held", count);
            let holdings = Holdings::of(held.iter().copied());
            assert!(held.iter().all(|item| holdings.may_have(*item)), "of {count}");
            let percent = percent_taken_for_held(&holdings);
            assert!(percent < 3, "of {count}: {percent} % of strangers are taken for held");
        }
    }

    #[test]
    fn a_store_that_is_too_large_for_the_bound_makes_more_mistakes_but_is_not_useless() {
        let holdings = Holdings::of(items("held", 300_000).into_iter());
        assert_eq!((holdings.bits.len(), holdings.positions), (MAX_HOLDINGS_BYTES, 2));
        assert!(percent_taken_for_held(&holdings) < 30);
    }

    #[test]
    fn what_is_inserted_later_is_held_too() {
        let mut holdings = Holdings::of([].into_iter());
        let later = items("later", 200);
        assert!(later.iter().all(|item| !holdings.may_have(*item)));
        later.iter().for_each(|item| holdings.insert(*item));
        assert!(later.iter().all(|item| holdings.may_have(*item)));
        assert!(percent_taken_for_held(&holdings) < 3);
    }

    #[test]
    fn both_forms_are_read_as_they_were_written() {
        let holdings = Holdings::of(items("held", 20_000).into_iter());
        let packed = rmp_serde::to_vec_named(&holdings).unwrap();
        assert!(packed.len() < 25_000 + 32, "{} bytes", packed.len());
        assert_eq!(rmp_serde::from_slice::<Holdings>(&packed).unwrap(), holdings);
        let json = serde_json::to_string(&holdings).unwrap();
        assert_eq!(serde_json::from_str::<Holdings>(&json).unwrap(), holdings);
    }

    #[test]
    fn bits_out_of_bounds_are_refused() {
        let read = |positions: u8, bytes: usize| {
            let packed = rmp_serde::to_vec_named(&Holdings { positions, bits: vec![1; bytes] }).unwrap();
            rmp_serde::from_slice::<Holdings>(&packed)
        };
        assert!(read(7, 1).is_ok() && read(1, MAX_HOLDINGS_BYTES).is_ok());
        for (positions, bytes) in [(7, 0), (7, MAX_HOLDINGS_BYTES + 1), (0, 1), (8, 1), (255, 1)] {
            assert!(read(positions, bytes).is_err(), "{positions} positions in {bytes} bytes were accepted");
        }
        for bad in [json!({"positions": 7, "bits": "0"}), json!({"positions": 7, "bits": [1]}), json!({"bits": "00"}), json!([])]
        {
            assert!(serde_json::from_value::<Holdings>(bad.clone()).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn a_beat_that_tells_too_much_is_refused() {
        let beat = |gained| {
            let beat = Beat { gained: items("gained", gained), ..Beat::default() };
            decode::<Beat>(&encode(&beat), Format::MessagePack).map(|read| assert_eq!(read, beat))
        };
        assert!(beat(0).is_ok() && beat(MAX_GAINED).is_ok());
        assert!(beat(MAX_GAINED + 1).is_err());
    }

    #[test]
    fn bytes_that_were_tampered_with_are_refused_or_are_holdings_within_bounds() {
        let packed = rmp_serde::to_vec_named(&Holdings::of(items("held", 3).into_iter())).unwrap();
        for at in 0..packed.len() {
            assert!(rmp_serde::from_slice::<Holdings>(&packed[..at]).is_err(), "the first {at} bytes were accepted");
            for byte in 0..=255 {
                let mut tampered = packed.clone();
                tampered[at] = byte;
                if let Ok(read) = rmp_serde::from_slice::<Holdings>(&tampered) {
                    assert!((1..=MAX_POSITIONS).contains(&read.positions) && !read.bits.is_empty());
                    read.may_have(Fingerprint(u64::MAX));
                }
            }
        }
    }
}
