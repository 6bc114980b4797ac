//! The lists of the sources that come with a submission: as many as are needed for each to be a message.

use bytes::Bytes;
use drover_messages::encode;
use drover_messages::envelope::MAX_MESSAGE_BYTES;
use drover_messages::request::{MAX_MANIFESTS, MAX_SOURCES_OF_MANIFEST, SourceManifest, SourceNar};

use crate::exit::bad_input;

/// The lists, encoded.
pub(crate) fn of(sources: Vec<SourceNar>) -> anyhow::Result<Vec<Bytes>> {
    let mut manifests = Vec::new();
    let mut left: Vec<Vec<SourceNar>> = sources.chunks(MAX_SOURCES_OF_MANIFEST).rev().map(<[_]>::to_vec).collect();
    while let Some(sources) = left.pop() {
        let manifest = SourceManifest { sources };
        let bytes = encode(&manifest);
        // Sources with many references fill a message before they are many.
        if bytes.len() > MAX_MESSAGE_BYTES && manifest.sources.len() > 1 {
            left.extend(halves(manifest.sources));
        } else {
            manifests.push(bytes);
        }
    }
    if manifests.len() > MAX_MANIFESTS {
        return Err(bad_input(format!("the sources fill more than {MAX_MANIFESTS} lists: submit parts of the closure")));
    }
    Ok(manifests)
}

/// The second half, then the first.
fn halves(mut sources: Vec<SourceNar>) -> [Vec<SourceNar>; 2] {
    let second = sources.split_off(sources.len() / 2);
    [second, sources]
}

#[cfg(test)]
mod tests {
    use drover_messages::request::Nar;
    use drover_messages::{Format, decode};
    use drover_store::{ContentAddress, Sha256, StorePath};

    use super::*;

    fn source(n: usize, references: usize) -> SourceNar {
        let hash = Sha256::of(&n.to_le_bytes());
        let nar = Nar { key: "incoming/a/b/c.nar.zst".into(), nar_hash: hash, nar_size: 1, file_hash: hash, file_size: 1 };
        let path = |name: String| StorePath::from_parts(&[1; 20], &name).unwrap();
        SourceNar {
            path: path(format!("n{n}")),
            ca: ContentAddress::Text(hash),
            references: (0..references).map(|n| path(format!("reference-{n}"))).collect(),
            nar,
        }
    }

    fn read(manifests: &[Bytes]) -> Vec<SourceNar> {
        manifests.iter().flat_map(|bytes| decode::<SourceManifest>(bytes, Format::MessagePack).unwrap().sources).collect()
    }

    #[test]
    fn the_sources_of_a_distribution_fill_several_lists_and_none_is_lost() {
        let sources: Vec<SourceNar> = (0..15_910).map(|n| source(n, 2)).collect();
        let manifests = of(sources.clone()).unwrap();
        assert_eq!(manifests.len(), 16);
        assert_eq!(read(&manifests), sources);
    }

    #[test]
    fn sources_with_many_references_fill_a_list_before_they_are_many() {
        let sources: Vec<SourceNar> = (0..100).map(|n| source(n, 500)).collect();
        let manifests = of(sources.clone()).unwrap();
        assert!(manifests.len() > 1 && manifests.iter().all(|bytes| bytes.len() <= MAX_MESSAGE_BYTES));
        assert_eq!(read(&manifests), sources);
    }

    #[test]
    fn without_sources_there_is_no_list() {
        assert!(of(Vec::new()).unwrap().is_empty());
    }
}
