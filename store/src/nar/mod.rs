//! Nar, Nix's archive of one store item: a file, a symlink or a directory, without owners and times, in one canonical form.
//!
//! `node = "(" "type" ("regular" ["executable" ""] "contents" BYTES | "symlink" "target" T | "directory" entry*) ")"`, and
//! `entry = "entry" "(" "name" N "node" node ")"` in ascending order of names; each word is a length of 64 bits, little endian,
//! its bytes, and zeros up to a multiple of eight. Nix: `archive.cc`. What is not canonical is refused.

mod check;
mod dump;
mod file;
mod hashing;
mod error;
mod sink;
mod parser;
mod restore;

pub use check::NarCheck;
pub use dump::dump;
pub use error::{NarError, NarFault};
pub use file::of_file;
pub use hashing::{HashingWriter, NarSummary};
pub use parser::NarParser;
pub use restore::restore;
pub use sink::NarSink;

/// The deepest directory below the root. Linux cannot name anything much deeper by one path.
pub const MAX_DEPTH: usize = 1024;

/// The longest name of a directory entry, in bytes.
pub const MAX_ENTRY_NAME_BYTES: usize = 255;

/// The longest target of a symlink, in bytes.
pub const MAX_TARGET_BYTES: usize = 4095;

/// The word that every nar begins with.
const MAGIC: &[u8] = b"nix-archive-1";

/// How many zeros stand behind a word of this length.
fn padding(len: u64) -> usize {
    (len.wrapping_neg() % 8) as usize
}
