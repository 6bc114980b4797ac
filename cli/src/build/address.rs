//! What gives a source its name, where the store daemon does not say: the few ways that evaluators name sources, tried
//! on its content. What none of them explains cannot be sent, for nobody could verify it.

use std::collections::BTreeSet;

use drover_store::{ContentAddress, FixedHash, Sha256, StoreDir, StorePath};

/// The content of a source, hashed in the ways that matter.
pub(crate) struct Content {
    /// Of its nar.
    pub(crate) nar_hash: Sha256,
    /// Of its bytes, if it is a plain file.
    pub(crate) flat_hash: Option<Sha256>,
}

/// The address under which this content has this path.
pub(crate) fn find(
    store_dir: &StoreDir,
    path: &StorePath,
    references: &BTreeSet<StorePath>,
    content: &Content,
) -> Option<ContentAddress> {
    let flat = content.flat_hash.into_iter().flat_map(|hash| {
        [ContentAddress::Text(hash), ContentAddress::Fixed(FixedHash { recursive: false, digest: hash.into() })]
    });
    let mut ways = std::iter::once(ContentAddress::source(content.nar_hash)).chain(flat);
    ways.find(|way| way.is_of(store_dir, path, references))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content { nar_hash: Sha256::of(b"nar"), flat_hash: Some(Sha256::of(b"flat")) }
    }

    #[test]
    fn each_way_to_name_a_source_is_found() {
        let store = StoreDir::nix();
        let other = BTreeSet::from([StorePath::from_parts(&[3; 20], "other").unwrap()]);
        let flat = Sha256::of(b"flat");
        let ways = [
            (ContentAddress::source(Sha256::of(b"nar")), &other),
            (ContentAddress::Text(flat), &other),
            (ContentAddress::Fixed(FixedHash { recursive: false, digest: flat.into() }), &BTreeSet::new()),
        ];
        for (way, references) in ways {
            let path = way.path_of(&store, "source", references).unwrap();
            assert_eq!(find(&store, &path, references, &content()), Some(way));
        }
    }

    #[test]
    fn a_path_of_other_content_has_no_address() {
        let path = StorePath::from_parts(&[9; 20], "source").unwrap();
        assert_eq!(find(&StoreDir::nix(), &path, &BTreeSet::new(), &content()), None);
    }
}
