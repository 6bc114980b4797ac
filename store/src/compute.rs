//! How a store path follows from contents: Nix's `store-api.cc`, `makeStorePath`, which Guix shares.
//!
//! Every path is the hash, folded to 160 bits, of `TYPE:sha256:HEX:STORE:NAME`; only the type and the inner hash differ.

use std::fmt::Write as _;

use crate::{FixedHash, OutputName, ParseError, Sha256, StoreDir, StorePath, hex};

/// The path of a text: a file whose bytes hash to `contents`, such as a `.drv`. References in sorted order.
pub fn text_path<'a>(
    store: &StoreDir,
    name: &str,
    contents: &Sha256,
    references: impl IntoIterator<Item = &'a StorePath>,
) -> Result<StorePath, ParseError> {
    make_store_path(store, with_references("text", store, references), contents, name)
}

/// The path of a source, or of a fixed output by `r:sha256`: of its nar's hash. References in sorted order, without itself.
pub fn source_path<'a>(
    store: &StoreDir,
    name: &str,
    nar_hash: &Sha256,
    references: impl IntoIterator<Item = &'a StorePath>,
    to_itself: bool,
) -> Result<StorePath, ParseError> {
    let mut kind = with_references("source", store, references);
    if to_itself {
        kind.push_str(":self");
    }
    make_store_path(store, kind, nar_hash, name)
}

/// The path of an output whose contents are fixed.
pub fn fixed_output_path(store: &StoreDir, name: &str, fixed: &FixedHash) -> Result<StorePath, ParseError> {
    match fixed.digest.as_sha256() {
        Some(nar_hash) if fixed.recursive => source_path(store, name, &nar_hash, [], false),
        _ => {
            let inner = format!("fixed:out:{}{}:{}:", fixed.method(), fixed.digest.algo(), fixed.digest.to_hex());
            make_store_path(store, "output:out".into(), &Sha256::of(inner.as_bytes()), name)
        }
    }
}

/// The path of an output that is addressed by its inputs; `masked` is the hash of the derivation without its output paths.
pub fn output_path(store: &StoreDir, drv_name: &str, output: &OutputName, masked: &Sha256) -> Result<StorePath, ParseError> {
    let kind = format!("output:{output}");
    if *output == OutputName::OUT {
        make_store_path(store, kind, masked, drv_name)
    } else {
        make_store_path(store, kind, masked, &format!("{drv_name}-{output}"))
    }
}

fn with_references<'a>(kind: &str, store: &StoreDir, references: impl IntoIterator<Item = &'a StorePath>) -> String {
    let mut text = kind.to_owned();
    for path in references {
        for part in [":", store.as_str(), "/", path.as_str()] {
            text.push_str(part);
        }
    }
    text
}

fn make_store_path(store: &StoreDir, kind: String, inner: &Sha256, name: &str) -> Result<StorePath, ParseError> {
    let mut text = kind;
    // Writing to a string cannot fail.
    let _ = write!(text, ":sha256:{}:{store}:{name}", hex::encode(inner.as_bytes()));
    StorePath::from_parts(&fold(Sha256::of(text.as_bytes()).as_bytes()), name)
}

/// Nix's `compressHash`: what is beyond 20 bytes is laid over the beginning.
fn fold(hash: &[u8; 32]) -> [u8; 20] {
    let mut folded = [0; 20];
    for (n, byte) in hash.iter().enumerate() {
        folded[n % 20] ^= byte;
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_be_is_an_error() {
        assert!(text_path(&StoreDir::nix(), "a/b", &Sha256::of(b""), []).is_err());
        assert!(source_path(&StoreDir::nix(), "", &Sha256::of(b""), [], false).is_err());
    }

    #[test]
    fn a_recursive_sha256_output_has_the_path_of_a_source() {
        let hash = Sha256::of(b"some nar");
        let fixed = FixedHash { recursive: true, digest: hash.into() };
        let source = source_path(&StoreDir::guix(), "x", &hash, [], false);
        assert_eq!(fixed_output_path(&StoreDir::guix(), "x", &fixed), source);
        let flat = FixedHash { recursive: false, ..fixed };
        assert_ne!(fixed_output_path(&StoreDir::guix(), "x", &flat), source);
    }
}
