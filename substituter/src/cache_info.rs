//! What a server says of itself, in `nix-cache-info`.

use drover_store::StoreDir;

/// The largest that is read, in bytes.
pub(crate) const MAX_CACHE_INFO_BYTES: usize = 64 << 10;

/// A server's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheInfo {
    /// Of which store its items are.
    pub store_dir: StoreDir,
}

impl CacheInfo {
    /// Reads it; an error is in words. One that names no store serves `/nix/store`, as for Nix.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let named = text.lines().find_map(|line| line.strip_prefix("StoreDir:"));
        let store_dir = named.map_or(Ok(StoreDir::nix()), |dir| dir.trim().parse()).map_err(|error| error.to_string())?;
        Ok(Self { store_dir })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_named_or_nixs() {
        let store = |text| CacheInfo::parse(text).map(|info| info.store_dir);
        assert_eq!(store("StoreDir: /gnu/store\nWantMassQuery: 0\nPriority: 100\n"), Ok(StoreDir::guix()));
        assert_eq!(store("WantMassQuery: 1\n"), Ok(StoreDir::nix()));
        assert!(store("StoreDir: nowhere\n").is_err());
    }
}
