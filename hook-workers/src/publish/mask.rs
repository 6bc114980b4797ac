//! Bytes that name themselves: a content cannot contain its own hash, so what gives an item that refers to itself its path
//! is the hash of its nar with zeros in the place of its own hash part, and with the places behind it. Nix:
//! `references.cc`, `HashModuloSink`.

use drover_store::{HASH_PART_CHARS, StorePath};
use sha2::digest::DynDigest;

/// The most places that are noted; 8 bytes each.
const MAX_PLACES: usize = 1 << 20;

/// Hides an item's own hash part from a hasher.
pub(super) struct Mask {
    own: [u8; HASH_PART_CHARS],
    /// The last bytes, which may be the beginning of a hash part.
    tail: Vec<u8>,
    position: u64,
    places: Vec<u64>,
}

impl Mask {
    /// For this item.
    pub(super) fn new(path: &StorePath) -> Self {
        let mut own = [0; HASH_PART_CHARS];
        own.copy_from_slice(path.hash_part().as_bytes());
        Self { own, tail: Vec::new(), position: 0, places: Vec::new() }
    }

    /// Hashes the next bytes, as far as it is sure what they are.
    pub(super) fn update(&mut self, bytes: &[u8], hasher: &mut dyn DynDigest) {
        let mut all = std::mem::take(&mut self.tail);
        all.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(at) = all[from..].windows(HASH_PART_CHARS).position(|window| window == self.own) {
            let at = from + at;
            all[at..at + HASH_PART_CHARS].fill(0);
            if self.places.len() < MAX_PLACES {
                self.places.push(self.position + at as u64);
            }
            from = at + HASH_PART_CHARS;
        }
        let sure = all.len().saturating_sub(HASH_PART_CHARS - 1);
        hasher.update(&all[..sure]);
        self.position += sure as u64;
        self.tail = all.split_off(sure);
    }

    /// Hashes what is left.
    pub(super) fn finish(self, hasher: &mut dyn DynDigest) {
        hasher.update(&self.tail);
        for place in self.places {
            hasher.update(format!("|{place}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drover_store::{Sha256, nar};

    #[test]
    fn the_hash_is_the_one_that_nix_computes_in_pieces_of_any_size() {
        // Nix 2.8: nix store make-content-addressed
        let path: StorePath = "ixm0wljvb8aj3kddg5cqw1fhpm5gfmc3-selfy".parse().unwrap();
        let own = path.hash_part();
        let text = format!("/nix/store/{path} and /nix/store/{path} x{own}y{own}{own}\n");
        let nar = nar::of_file(text.as_bytes());
        assert_eq!(Ok(Sha256::of(&nar)), "sha256-baotLWOCrTP0yCCC7InqcdhVwnkAb+qZlJdOW+qdjss=".parse());
        let expected: Sha256 = "166xnig1qn9kcjf1dfi1bd3704ac207r128rin672kqg05mxr8mw".parse().unwrap();
        for piece in [1, 7, 31, 32, 33, nar.len()] {
            let (mut mask, mut hasher) = (Mask::new(&path), sha2::Sha256::default());
            nar.chunks(piece).for_each(|bytes| mask.update(bytes, &mut hasher));
            mask.finish(&mut hasher);
            assert_eq!(sha2::Digest::finalize(hasher)[..], expected.as_bytes()[..], "in pieces of {piece}");
        }
    }
}
