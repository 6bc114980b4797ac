//! How much room there is.

use std::path::Path;

use drover_store::StoreDir;
use nix::sys::statvfs::statvfs;

/// With less than this free, in bytes, a failure is put down to the disk.
const FULL_BELOW_BYTES: u64 = 16 << 20;

/// Bytes that can be written where `path` is; 0 where it is not.
#[allow(clippy::unnecessary_cast)] // The types differ among platforms.
pub fn free_bytes(path: &Path) -> u64 {
    statvfs(path).map_or(0, |stat| stat.blocks_available() as u64 * stat.fragment_size() as u64)
}

/// Whether the store has no room left.
pub fn is_full(store_dir: &StoreDir) -> bool {
    free_bytes(Path::new(store_dir.as_str())) < FULL_BELOW_BYTES
}
