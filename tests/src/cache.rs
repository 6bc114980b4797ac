//! What users of a farm's substitutes must know, and stores that are such users.

use drover_store::{Family, StoreDir, StorePath};

use crate::Farm;
use crate::lab::{Kind, Lab};

/// Where substitutes are, and who signs them.
#[derive(Debug, Clone)]
pub struct Cache {
    /// `http://…`: below it, each store directory has a cache.
    pub(crate) root: String,
    /// The public half of the key that signs for Nix.
    pub nix_key: String,
    /// The public half of the key that signs for Guix.
    pub guix_key: String,
}

impl Cache {
    /// The cache of a store directory.
    pub fn url(&self, store_dir: &StoreDir) -> String {
        format!("{}/{}", self.root, store_dir.slug())
    }

    /// All of them.
    pub(crate) fn urls(&self) -> impl Iterator<Item = String> {
        [StoreDir::nix(), StoreDir::guix()].into_iter().map(|store_dir| self.url(&store_dir))
    }
}

impl Farm {
    /// An empty store whose daemon asks this farm's cache, and trusts it. `None`, said aloud, where it cannot be had.
    pub fn empty_store(&self, kind: Kind) -> Option<Lab> {
        let url = self.cache.url(&kind.store_dir());
        let settings = match kind.store_dir().family() {
            Family::Nix => vec![
                format!("substituters = {url}"),
                format!("trusted-public-keys = {}", self.cache.nix_key),
                "require-sigs = true".into(),
            ],
            Family::Guix => vec![format!("--substitute-urls={url}")],
        };
        let store = Lab::of(kind, &settings.iter().map(String::as_str).collect::<Vec<_>>())?;
        authorise(&store, &[&self.cache.guix_key]);
        Some(store)
    }
}

/// Makes a Guix trust what these keys have signed, and nothing else. A Nix is told elsewhere.
pub fn authorise(store: &Lab, keys: &[&str]) {
    if store.store_dir().family() == Family::Guix {
        let entries: String = keys.iter().map(|key| format!("(entry {key} (tag (guix import)))")).collect();
        std::fs::write(store.scratch().join("etc/guix/acl"), format!("(acl {entries})\n")).unwrap();
    }
}

/// Lets the store's own tools fetch an item, and says what they complained of if it is not there afterwards.
pub fn fetch(store: &Lab, path: &StorePath) -> Result<(), String> {
    let absolute = store.store_dir().path(path).to_string();
    let said = match store.store_dir().family() {
        Family::Nix => store.try_run(&["nix-store", "--realise", &absolute]),
        Family::Guix => store.try_guix(&["build", &absolute]),
    };
    // Guix says nothing of what nobody has.
    let is_there = store.file(path).symlink_metadata().is_ok();
    if is_there { Ok(()) } else { Err(said.unwrap_or_else(|complaint| complaint)) }
}
