//! The digest that a content address speaks of: of the whole nar, or of the one file in it, by any algorithm that a
//! derivation may name.

use std::io;

use drover_store::nar::NarSink;
use drover_store::{ContentAddress, Digest, HashAlgo, StorePath};
use sha2::digest::DynDigest;

use super::mask::Mask;

/// Takes a digest while a nar is read.
pub struct ContentDigest {
    algo: HashAlgo,
    hasher: Box<dyn DynDigest + Send>,
    recursive: bool,
    is_plain_file: bool,
    mask: Option<Mask>,
}

impl ContentDigest {
    /// For what this address speaks of. `own` is the item's path, if it refers to itself.
    pub fn new(address: &ContentAddress, own: Option<&StorePath>) -> Self {
        let (algo, recursive) = match address {
            ContentAddress::Text(_) => (HashAlgo::Sha256, false),
            ContentAddress::Fixed(fixed) => (fixed.digest.algo(), fixed.recursive),
        };
        Self { algo, hasher: hasher(algo), recursive, is_plain_file: false, mask: own.map(Mask::new) }
    }

    /// Takes the next bytes of the nar, which the parser also gives to this as a [`NarSink`].
    pub fn nar(&mut self, bytes: &[u8]) {
        match &mut self.mask {
            _ if !self.recursive => {}
            Some(mask) => mask.update(bytes, &mut *self.hasher),
            None => self.hasher.update(bytes),
        }
    }

    /// The digest; `None` if it is of a file, and the nar is of anything else.
    pub fn finish(mut self) -> Option<Digest> {
        if let Some(mask) = self.mask.take() {
            mask.finish(&mut *self.hasher);
        }
        let digest = self.hasher.finalize();
        (self.recursive || self.is_plain_file).then(|| Digest::new(self.algo, &digest)).flatten()
    }
}

impl NarSink for ContentDigest {
    fn regular(&mut self, executable: bool, _size: u64) -> io::Result<()> {
        // In a directory this may say yes; but there `leave` follows.
        self.is_plain_file = !executable;
        Ok(())
    }

    fn contents(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.recursive {
            self.hasher.update(bytes);
        }
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        self.is_plain_file = false;
        Ok(())
    }
}

fn hasher(algo: HashAlgo) -> Box<dyn DynDigest + Send> {
    match algo {
        HashAlgo::Md5 => Box::new(md5::Md5::default()),
        HashAlgo::Sha1 => Box::new(sha1::Sha1::default()),
        HashAlgo::Sha256 => Box::new(sha2::Sha256::default()),
        HashAlgo::Sha512 => Box::new(sha2::Sha512::default()),
    }
}
