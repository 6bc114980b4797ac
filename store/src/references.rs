//! Which store paths are mentioned in some bytes: a path is referred to where its hash part stands, whatever is around it.
//!
//! As Nix's `references.cc`: a window of 32 bytes is looked at from its end, and the first byte in it that is no character of
//! nix-base32 moves the window behind itself, so that most bytes are never looked at.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use crate::store_path::HASH_PART_CHARS;
use crate::{StorePath, nix32};

type HashPart = [u8; HASH_PART_CHARS];

/// Looks for candidates in bytes that are pushed into it in pieces of any size.
#[derive(Debug)]
pub struct RefScanner {
    /// What was not found yet; several paths may share a hash part.
    missing: HashMap<HashPart, Vec<StorePath>>,
    found: BTreeSet<StorePath>,
    /// The last bytes of what was scanned, fewer than a hash part.
    tail: Vec<u8>,
}

impl RefScanner {
    /// Looks for these and no others.
    pub fn new<'a>(candidates: impl IntoIterator<Item = &'a StorePath>) -> Self {
        let mut missing: HashMap<HashPart, Vec<StorePath>> = HashMap::new();
        for path in candidates {
            if let Ok(hash) = path.hash_part().as_bytes().try_into() {
                missing.entry(hash).or_default().push(path.clone());
            }
        }
        Self { missing, found: BTreeSet::new(), tail: Vec::with_capacity(2 * HASH_PART_CHARS) }
    }

    /// Scans these bytes, which follow on those before.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.missing.is_empty() {
            return;
        }
        let overlap = bytes.len().min(HASH_PART_CHARS - 1);
        if !self.tail.is_empty() {
            let mut seam = std::mem::take(&mut self.tail);
            seam.extend_from_slice(&bytes[..overlap]);
            self.scan(&seam);
            self.tail = seam;
        }
        if bytes.len() >= HASH_PART_CHARS {
            self.scan(bytes);
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - overlap..]);
        } else {
            if self.tail.is_empty() {
                self.tail.extend_from_slice(bytes);
            }
            let surplus = self.tail.len().saturating_sub(HASH_PART_CHARS - 1);
            self.tail.drain(..surplus);
        }
    }

    fn scan(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(window) = bytes.get(at..at + HASH_PART_CHARS) {
            if let Some(last) = window.iter().rposition(|b| !nix32::is_digit(*b)) {
                at += last + 1;
                continue;
            }
            if let Some(paths) = self.missing.remove(window) {
                self.found.extend(paths);
            }
            at += 1;
        }
    }

    /// The candidates that were mentioned.
    pub fn found(&self) -> &BTreeSet<StorePath> {
        &self.found
    }

    /// The candidates that were mentioned.
    pub fn into_found(self) -> BTreeSet<StorePath> {
        self.found
    }
}

impl Write for RefScanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Vec<StorePath> {
        ["0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-a", "1c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-b"].map(|path| path.parse().unwrap()).into()
    }

    #[test]
    fn a_hash_part_is_found_wherever_the_pieces_are_cut() {
        let paths = paths();
        let text = format!("garbage 000{}zz/nix", paths[0].hash_part());
        for size in 1..text.len() {
            let mut scanner = RefScanner::new(&paths);
            text.as_bytes().chunks(size).for_each(|piece| scanner.feed(piece));
            assert_eq!(scanner.found().iter().collect::<Vec<_>>(), [&paths[0]], "in pieces of {size} bytes");
        }
    }

    #[test]
    fn half_a_hash_part_is_no_reference() {
        let paths = paths();
        let (left, right) = paths[0].hash_part().split_at(16);
        let mut scanner = RefScanner::new(&paths);
        scanner.feed(format!("{left}-{right}").as_bytes());
        assert!(scanner.into_found().is_empty());
    }

    #[test]
    fn two_paths_of_one_hash_part_are_both_found() {
        let mut paths = paths();
        paths[1] = format!("{}-other", paths[0].hash_part()).parse().unwrap();
        let mut scanner = RefScanner::new(&paths);
        scanner.feed(paths[0].as_str().as_bytes());
        assert_eq!(scanner.into_found().len(), 2);
    }
}
