//! The vectors in `vectors/`, which Nix and Guix made: what they wrote we read, and what we write they would.

#![allow(clippy::unwrap_used)] // a test that panics fails

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use drover_store::nar::NarCheck;
use drover_store::{Derivation, DrvPath, NarInfo, PublicKey, RefScanner, SecretKey, StoreDir, StorePath, verify};

fn dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == extension));
    assert!(!files.is_empty());
    files
}

fn derivations(folder: &str) -> BTreeMap<DrvPath, Bytes> {
    let named = |file: PathBuf| (file.file_name().unwrap().to_str().unwrap().parse().unwrap(), fs::read(file).unwrap().into());
    files(folder, "drv").into_iter().map(named).collect()
}

fn is_of_guix(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("guix"))
}

/// The narinfos of Nix, with their texts and the paths of their nars.
fn narinfos() -> Vec<(NarInfo, String, PathBuf)> {
    let all = files("narinfo", "narinfo").into_iter().filter(|file| !is_of_guix(file));
    all.map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        (NarInfo::parse(&StoreDir::nix(), &text).unwrap(), text, file.with_extension("nar"))
    })
    .collect()
}

fn key(name: &str) -> String {
    fs::read_to_string(dir("keys").join(name)).unwrap()
}

#[test]
fn derivations_of_nix_and_guix_are_verified_and_written_again_byte_for_byte() {
    for (store, folder, outputs) in [(StoreDir::nix(), "nix", 13), (StoreDir::guix(), "guix", 6)] {
        let drvs = derivations(folder);
        let verified = verify(&store, &drvs, |_| None).unwrap();
        assert_eq!(verified.values().map(|one| one.derivation.outputs.len()).sum::<usize>(), outputs);
        for (path, one) in &verified {
            assert_eq!(one.derivation.write(&store), drvs[path]);
            assert_eq!(one.derivation.path(&store, path.name_without_drv()).as_ref(), Ok(path));
            assert_eq!(Derivation::guess_store_dir(&drvs[path]), Some(store.clone()));
        }
    }
}

#[test]
fn no_byte_of_a_derivation_can_be_changed() {
    for (store, folder) in [(StoreDir::nix(), "nix"), (StoreDir::guix(), "guix")] {
        let drvs = derivations(folder);
        for (path, aterm) in &drvs {
            for n in 0..aterm.len() {
                let mut flipped = aterm.to_vec();
                flipped[n] ^= 1;
                let given = BTreeMap::from([(path.clone(), flipped.into())]);
                let error = verify(&store, &given, |_| None).expect_err("a changed derivation");
                assert_eq!(error.drv, *path);
            }
        }
    }
}

#[test]
fn inputs_that_are_known_need_not_be_given() {
    let store = StoreDir::nix();
    let mut drvs = derivations("nix");
    let all = verify(&store, &drvs, |_| None).unwrap();
    drvs.retain(|path, _| path.name() == "coalesced.drv");
    assert!(verify(&store, &drvs, |_| None).is_err());
    let some = verify(&store, &drvs, |input| all.get(input).map(|one| one.modulo)).unwrap();
    assert!(some.iter().all(|(path, one)| all[path] == *one));
}

#[test]
fn narinfos_of_nix_are_written_again_byte_for_byte() {
    for (info, text, _) in narinfos() {
        assert_eq!(info.write(&StoreDir::nix()), text);
    }
}

#[test]
fn the_keys_and_signatures_of_nix_are_ours() {
    let (secret, public) = (SecretKey::parse(&key("secret")).unwrap(), PublicKey::parse(&key("public")).unwrap());
    assert_eq!((secret.to_file(), secret.public().to_string()), (key("secret"), key("public")));
    let other = SecretKey::generate(secret.name()).unwrap().public();
    for (info, _, _) in narinfos() {
        let fingerprint = info.fingerprint(&StoreDir::nix());
        assert_eq!(info.sigs, [secret.sign(&fingerprint)]);
        assert!(public.verify(&fingerprint, &info.sigs[0]));
        assert!(!public.verify(&fingerprint.replace("nix", "gnu"), &info.sigs[0]));
        assert!(!other.verify(&fingerprint, &info.sigs[0]));
    }
}

#[test]
fn another_reader_of_narinfos_sees_the_same_fingerprint() {
    let store = nix_narinfo_store();
    for (info, text, _) in narinfos() {
        let theirs = nix_narinfo::NarInfo::parse_in(&store, text.as_bytes()).unwrap();
        assert_eq!(theirs.fingerprint(&store), info.fingerprint(&StoreDir::nix()));
    }
}

fn nix_narinfo_store() -> nix_derivation::StoreDir {
    nix_derivation::StoreDir::new("/nix/store").unwrap()
}

#[test]
fn a_content_address_gives_the_path_that_nix_gave() {
    let mut seen = 0;
    for (info, _, _) in narinfos() {
        let Some(ca) = info.ca else { continue };
        let references = BTreeSet::from_iter(info.references.iter().cloned());
        assert!(ca.is_of(&StoreDir::nix(), &info.store_path, &references));
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn nars_of_nix_have_the_hash_the_size_and_the_references_of_their_narinfos() {
    let all = narinfos();
    let candidates: Vec<StorePath> = all.iter().map(|(info, _, _)| info.store_path.clone()).collect();
    let with_nars = all.iter().filter(|(_, _, nar)| nar.exists());
    for (info, _, nar) in with_nars.clone() {
        let bytes = fs::read(nar).unwrap();
        let (mut check, mut scanner) = (NarCheck::new(), RefScanner::new(&candidates));
        for piece in bytes.chunks(7) {
            assert_eq!(check.feed(piece).unwrap(), piece.len());
            scanner.feed(piece);
        }
        let summary = check.finish().unwrap();
        assert_eq!((summary.sha256, summary.size), (info.nar_hash, info.nar_size));
        assert_eq!(scanner.into_found(), BTreeSet::from_iter(info.references.iter().cloned()));
    }
    assert_eq!(with_nars.count(), 3);
}
