//! Reads the corpora of real derivations, which are too large for the project: `guix-large` alone has 30,096. They are looked for
//! beside the checkout, in `shared/corpora`, or where `DROVER_CORPORA` says.

#![allow(clippy::unwrap_used)] // a test that panics fails

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use drover_store::DrvPath;

/// The corpora that are there, by name; says so aloud where there are none.
pub fn all() -> Vec<PathBuf> {
    let dir = std::env::var_os("DROVER_CORPORA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"), PathBuf::from);
    let entries = fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut corpora: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(".tar.zst")).collect();
    corpora.sort();
    if corpora.is_empty() {
        eprintln!("SKIPPED: there are no corpora (*.tar.zst) in {}", dir.display());
    }
    corpora
}

/// Every `.drv` of a directory or of a `.tar.zst`.
pub fn read(path: &Path) -> BTreeMap<DrvPath, Bytes> {
    if path.is_dir() { read_dir(path) } else { read_tar_zst(path) }
}

fn read_dir(dir: &Path) -> BTreeMap<DrvPath, Bytes> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let named = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    named.map(|(name, path)| (name, fs::read(path).unwrap().into())).collect()
}

/// A tar as GNU writes it: blocks of 512 bytes; a header has a name, an octal size, and a type, of which `L` is a name too long
/// for the next header.
fn read_tar_zst(path: &Path) -> BTreeMap<DrvPath, Bytes> {
    let tar = Bytes::from(zstd::decode_all(fs::File::open(path).unwrap()).unwrap());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap()).into_owned();
    let mut drvs = BTreeMap::new();
    let mut long_name = None;
    let mut at = 0;
    while let Some(header) = tar.get(at..at + 512).filter(|header| header[0] != 0) {
        let size = usize::from_str_radix(text(&header[124..136]).trim(), 8).unwrap();
        let body = tar.slice(at + 512..at + 512 + size);
        at += 512 + size.next_multiple_of(512);
        if header[156] == b'L' {
            long_name = Some(text(&body));
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| text(&header[..100]));
        if let Some(drv) = name.rsplit('/').next().and_then(|name| name.parse().ok()) {
            drvs.insert(drv, body);
        }
    }
    drvs
}
