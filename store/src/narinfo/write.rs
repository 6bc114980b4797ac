//! Writing a narinfo: Nix's order, and Guix's.

use std::fmt::{Display, Write as _};

use super::NarInfo;
use crate::{Family, StoreDir, StorePath};

pub(super) fn write(info: &NarInfo, store: &StoreDir) -> String {
    match store.family() {
        Family::Nix => nix(info, store),
        Family::Guix => guix(info, store),
    }
}

/// Fields, one a line.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, key: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{key}: {value}");
    }

    fn add_all(&mut self, key: &str, values: impl IntoIterator<Item = impl Display>) {
        values.into_iter().for_each(|value| self.add(key, value));
    }
}

fn nix(info: &NarInfo, store: &StoreDir) -> String {
    let mut lines = Lines::default();
    lines.add("StorePath", store.path(&info.store_path));
    // Nix reads no more than one.
    if let Some(file) = info.files.first() {
        lines.add("URL", &file.url);
        lines.add("Compression", &file.compression);
        lines.add_all("FileHash", file.file_hash);
        lines.add_all("FileSize", file.file_size);
    }
    lines.add("NarHash", info.nar_hash);
    lines.add("NarSize", info.nar_size);
    lines.add("References", references(info));
    lines.add_all("Deriver", &info.deriver);
    lines.add_all("System", &info.system);
    lines.add_all("Sig", &info.sigs);
    lines.add_all("CA", info.ca);
    lines.0
}

/// `guix/scripts/publish.scm`, `narinfo-string`.
fn guix(info: &NarInfo, store: &StoreDir) -> String {
    let mut lines = Lines(guix_lines(info, store));
    lines.add_all("Signature", &info.signature);
    for file in &info.files {
        lines.add("URL", &file.url);
        lines.add("Compression", &file.compression);
        lines.add_all("FileSize", file.file_size);
    }
    lines.0
}

/// What stands above the signature in a narinfo of Guix.
pub(super) fn guix_lines(info: &NarInfo, store: &StoreDir) -> String {
    let mut lines = Lines::default();
    lines.add("StorePath", store.path(&info.store_path));
    lines.add("NarHash", info.nar_hash);
    lines.add("NarSize", info.nar_size);
    lines.add("References", references(info));
    lines.add_all("System", &info.system);
    lines.add_all("Deriver", &info.deriver);
    lines.0
}

fn references(info: &NarInfo) -> String {
    info.references.iter().map(StorePath::as_str).collect::<Vec<_>>().join(" ")
}
