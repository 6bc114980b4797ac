//! Which store an agent builds in, so that two agents of one store are known to share what either has built.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use drover_messages::StoreId;
use drover_store::{Sha256, StoreDir};

/// Where a machine says which it is; the second for machines that were never set up, until their next boot.
const MACHINE_FILES: [&str; 2] = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"];

/// Characters of the hash that make the name: 80 bits.
const NAME_CHARS: usize = 20;

/// The name of the store at `store_dir`: the same for everybody who sees the same folder on the same machine, another
/// in a mount namespace with a store of its own.
pub fn store_id(store_dir: &StoreDir) -> io::Result<StoreId> {
    let folder = fs::metadata(store_dir.as_str())?;
    let machine = MACHINE_FILES.iter().find_map(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let told = format!("{}\n{}\n{}\n{}", machine.trim(), folder.dev(), folder.ino(), store_dir);
    let mut name = Sha256::of(told.as_bytes()).to_nix32();
    name.truncate(NAME_CHARS);
    Ok(StoreId::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_has_one_name_and_another_folder_another() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = |folder: &tempfile::TempDir| folder.path().to_str().unwrap().parse::<StoreDir>().unwrap();
        assert_eq!(store_id(&dir(&one)).unwrap(), store_id(&dir(&one)).unwrap());
        assert_ne!(store_id(&dir(&one)).unwrap(), store_id(&dir(&two)).unwrap());
    }

    #[test]
    fn a_store_that_is_not_there_has_no_name() {
        assert!(store_id(&"/nowhere/store".parse().unwrap()).is_err());
    }
}
