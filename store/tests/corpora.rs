//! Every derivation of the corpora is read, written again byte for byte, and has its name and its outputs recomputed.

#![allow(clippy::unwrap_used)] // a test that panics fails

mod corpus;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use drover_store::{Derivation, Pack, PackWriter, StoreDir, verify};

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[test]
fn every_derivation_of_the_corpora_is_written_again_byte_for_byte() {
    for path in corpus::all() {
        let drvs = corpus::read(&path);
        for (drv, aterm) in &drvs {
            let read = Derivation::parse(&StoreDir::guix(), aterm).unwrap_or_else(|e| panic!("{drv}: {e}"));
            assert!(read.write(&StoreDir::guix()) == *aterm, "{drv} is written differently");
        }
        println!("{}: {} derivations", name(&path), drvs.len());
    }
}

#[test]
fn every_name_and_every_output_of_the_corpora_is_verified() {
    for path in corpus::all() {
        let drvs = corpus::read(&path);
        let verified = verify(&StoreDir::guix(), &drvs, |_| None).unwrap_or_else(|e| panic!("{}: {e}", name(&path)));
        assert_eq!(verified.len(), drvs.len());
        let expected = match name(&path).as_str() {
            "guix-hello.tar.zst" => 228,
            "guix-multiarch.tar.zst" => 3897,
            "guix-large.tar.zst" => 30_096,
            _ => drvs.len(),
        };
        assert_eq!(drvs.len(), expected);
    }
}

#[test]
fn the_corpora_survive_being_packed() {
    for path in corpus::all() {
        let drvs = corpus::read(&path);
        let mut packs = Vec::new();
        let mut writer = PackWriter::new();
        for (drv, aterm) in &drvs {
            if writer.is_full() {
                packs.push(std::mem::take(&mut writer).finish().unwrap());
            }
            writer.push(drv, aterm.clone()).unwrap();
        }
        packs.push(writer.finish().unwrap());
        let mut read: BTreeMap<_, Bytes> = BTreeMap::new();
        for pack in &packs {
            let pack = Pack::open(pack.clone()).unwrap();
            read.extend(pack.iter().map(|entry| entry.unwrap()).map(|(drv, aterm)| (drv.clone(), aterm)));
        }
        assert!(read == drvs, "{} is not what was packed", name(&path));
        let (raw, packed) = (drvs.values().map(Bytes::len).sum::<usize>(), packs.iter().map(Bytes::len).sum::<usize>());
        println!("{}: {raw} bytes in {} packs of {packed} bytes", name(&path), packs.len());
    }
}
