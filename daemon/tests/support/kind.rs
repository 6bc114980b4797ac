//! Which store daemons there are to test with, and where they come from.

use std::path::{Path, PathBuf};
use std::{env, fmt};

use drover_store::StoreDir;

/// A store daemon that tests can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// This machine's `nix-daemon`.
    Nix,
    /// The newer `nix-daemon` of Debian sid.
    NewerNix,
    /// The `guix-daemon` of Debian sid.
    Guix,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Nix, Self::NewerNix, Self::Guix];

    pub fn store_dir(self) -> StoreDir {
        match self {
            Self::Nix | Self::NewerNix => StoreDir::nix(),
            Self::Guix => StoreDir::guix(),
        }
    }

    /// The script that starts such a daemon, stops it, and runs commands in its store.
    pub fn script(self) -> PathBuf {
        repository().join(match self {
            Self::Nix | Self::NewerNix => "demo/store-daemon",
            Self::Guix => "demo/guix-daemon",
        })
    }

    /// The mount point of its store.
    pub(super) fn mount_point(self) -> &'static str {
        match self {
            Self::Nix | Self::NewerNix => "nix",
            Self::Guix => "gnu",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nix => "nix",
            Self::NewerNix => "newer-nix",
            Self::Guix => "guix",
        })
    }
}

/// The Debian root of which `setup/sid` says how it is made.
pub fn sid() -> PathBuf {
    env::var_os("DROVER_SID_ROOT").map_or_else(|| repository().join(".cache/sid"), PathBuf::from)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates lie in the repository").to_owned()
}
