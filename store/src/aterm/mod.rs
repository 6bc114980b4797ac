//! The text form of a derivation: `Derive([outputs],[drvs],[sources],system,builder,[args],[env])`, as Nix and Guix write it.
//!
//! Nix's own reader takes more than its writer gives (any escape, any order). Ours takes exactly what a writer gives, so that
//! reading and writing again is the identity, and two readers never disagree about what was hashed.

use crate::StoreDir;

mod error;
mod read;
mod write;

pub use error::{DrvFault, DrvParseError};
pub use read::MAX_DRV_BYTES;

pub(crate) use read::read;
pub(crate) use write::{Frame, write};

/// The store directory of a `.drv`, by the path of its first output; a guess, since nothing is read or verified.
pub(crate) fn guess_store_dir(aterm: &[u8]) -> Option<StoreDir> {
    let path = aterm.strip_prefix(b"Derive([(")?.splitn(5, |byte| *byte == b'"').nth(3)?;
    let (store, _) = StoreDir::guess(str::from_utf8(path).ok()?).ok()?;
    Some(store)
}

/// Which bytes a string cannot hold as they are.
const NEEDS_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut n = 0;
    while n < 5 {
        table[b"\"\\\n\r\t"[n] as usize] = true;
        n += 1;
    }
    table
};
