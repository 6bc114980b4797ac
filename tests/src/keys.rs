//! The keys that sign a farm's substitutes, one of each kind.

use std::path::PathBuf;

use drover_store::{SecretKey, guix};
use uuid::Uuid;

use crate::folder::{Folder, write_secret};

/// Their public halves, and the files of the secret ones.
pub(crate) struct Keys {
    pub(crate) nix: String,
    pub(crate) guix: String,
    pub(crate) files: Vec<PathBuf>,
}

impl Keys {
    /// New ones, written into the folder.
    pub(crate) fn generate(folder: &Folder) -> Self {
        // Nix knows keys by their names, and may know those of several farms.
        let name = format!("drover-test-{}", Uuid::now_v7());
        let (nix, guix) = (SecretKey::generate(&name).unwrap(), guix::SecretKey::generate());
        let files = vec![folder.join("signing-key"), folder.join("guix-signing-key")];
        write_secret(&files[0], &nix.to_file());
        write_secret(&files[1], &guix.to_file());
        Self { nix: nix.public().to_string(), guix: guix.public().to_string(), files }
    }
}
