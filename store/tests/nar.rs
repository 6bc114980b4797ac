//! Nars against two others: `nix-store`, where it is installed, and the crate `nix-nar`. And nars that must be refused.

#![allow(clippy::unwrap_used)] // a test that panics fails

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Cursor;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use drover_store::nar::{NarCheck, NarFault, dump, restore};
use drover_store::{HashingWriter, Sha256};

/// Files of all lengths around a multiple of eight, and of every kind.
fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("dir/empty")).unwrap();
    for len in 0..18 {
        fs::write(root.join(format!("dir/{len}")), vec![b'x'; len]).unwrap();
    }
    fs::write(root.join("large"), (0..3_000_000_u32).map(|n| n as u8).collect::<Vec<_>>()).unwrap();
    fs::write(root.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("run"), Permissions::from_mode(0o755)).unwrap();
    symlink("/nowhere/at all", root.join("link")).unwrap();
    symlink("dir", root.join("dir-link")).unwrap();
}

fn dumped(path: &Path) -> Vec<u8> {
    let mut writer = HashingWriter::new(Vec::new());
    let size = dump(path, &mut writer).unwrap();
    let (nar, summary) = writer.finish();
    assert_eq!((size, summary.size, summary.sha256), (nar.len() as u64, nar.len() as u64, Sha256::of(&nar)));
    nar
}

#[test]
fn what_is_dumped_is_restored_and_dumped_the_same() {
    let dir = tempfile::tempdir().unwrap();
    make_tree(&dir.path().join("tree"));
    fs::write(dir.path().join("tree").join(OsStr::from_bytes(b"not utf8 \xff")), "").unwrap();
    let nar = dumped(&dir.path().join("tree"));
    let mut stream = Cursor::new([nar.as_slice(), b"what follows"].concat());
    let size = restore(&mut stream, &dir.path().join("again")).unwrap();
    assert_eq!((size, stream.position()), (nar.len() as u64, nar.len() as u64));
    assert_eq!(dumped(&dir.path().join("again")), nar);
    assert!(restore(&mut nar.as_slice(), &dir.path().join("again")).is_err(), "what exists is not written over");
}

#[test]
fn nix_store_dumps_and_restores_the_same() {
    if Command::new("nix-store").arg("--version").output().is_err() {
        eprintln!("SKIPPED: nix-store is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    make_tree(&tree);
    fs::write(tree.join(OsStr::from_bytes(b"not utf8 \xff")), "").unwrap();
    let nar = dumped(&tree);
    let theirs = Command::new("nix-store").arg("--dump").arg(&tree).output().unwrap();
    assert!(theirs.stdout == nar, "nix-store dumps it differently");
    fs::write(dir.path().join("nar"), &nar).unwrap();
    let input = Stdio::from(fs::File::open(dir.path().join("nar")).unwrap());
    let restored = dir.path().join("restored");
    assert!(Command::new("nix-store").arg("--restore").arg(&restored).stdin(input).status().unwrap().success());
    assert!(dumped(&restored) == nar, "nix-store restores it differently");
}

#[test]
fn nix_nar_writes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    make_tree(&dir.path().join("tree"));
    for path in [dir.path().join("tree"), dir.path().join("tree/run"), dir.path().join("tree/link")] {
        let mut theirs = Vec::new();
        std::io::copy(&mut nix_nar::Encoder::new(&path).unwrap(), &mut theirs).unwrap();
        assert!(theirs == dumped(&path), "{} is written differently", path.display());
    }
}

#[test]
fn the_end_is_found_in_pieces_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    make_tree(dir.path());
    fs::remove_file(dir.path().join("large")).unwrap();
    let nar = dumped(dir.path());
    let stream = [nar.as_slice(), &[0; 64]].concat();
    for size in [1, 2, 3, 7, 8, 9, 64, 1000, stream.len()] {
        let mut check = NarCheck::new();
        let taken: usize = stream.chunks(size).map(|piece| check.feed(piece).unwrap()).sum();
        assert_eq!(taken, nar.len());
        assert_eq!(check.finish().unwrap().sha256, Sha256::of(&nar));
    }
    for cut in [0, 1, nar.len() / 2, nar.len() - 1] {
        let mut check = NarCheck::new();
        check.feed(&nar[..cut]).unwrap();
        assert!(matches!(check.finish().unwrap_err().fault, NarFault::Truncated));
    }
}

/// A nar of these words.
fn nar(words: &[&[u8]]) -> Vec<u8> {
    let word = |word: &&[u8]| {
        let mut bytes = (word.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(word);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    words.iter().flat_map(word).collect()
}

fn entry(name: &[u8]) -> Vec<&[u8]> {
    vec![b"entry", b"(", b"name", name, b"node", b"(", b"type", b"symlink", b"target", b"/etc", b")", b")"]
}

fn directory(entries: &[&[u8]]) -> Vec<u8> {
    let mut words: Vec<&[u8]> = vec![b"nix-archive-1", b"(", b"type", b"directory"];
    words.extend(entries.iter().flat_map(|name| entry(name)));
    words.push(b")");
    nar(&words)
}

fn fault(nar: &[u8]) -> NarFault {
    let dir = tempfile::tempdir().unwrap();
    let refused = restore(&mut &*nar, &dir.path().join("dest")).expect_err("a nar that must be refused").fault;
    let mut check = NarCheck::new();
    let checked = check.feed(nar).and_then(|_| check.finish());
    assert!(checked.is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().file_name() != "dest").count(), 0);
    refused
}

#[test]
fn names_that_lead_out_or_are_out_of_order_are_refused() {
    let long = [b'x'; 256];
    for name in [&b""[..], b".", b"..", b"a/b", b"/", b"../a", b"a\0b"] {
        assert!(matches!(fault(&directory(&[name])), NarFault::BadName(_)), "{name:?}");
    }
    assert!(matches!(fault(&directory(&[&long])), NarFault::TooLong(256, 255)));
    assert!(matches!(fault(&directory(&[b"b", b"a"])), NarFault::Order(_)));
    assert!(matches!(fault(&directory(&[b"a", b"a"])), NarFault::Order(_)), "a symlink and then what it leads to");
}

#[test]
fn what_is_not_canonical_is_refused() {
    let head: [&[u8]; 3] = [b"nix-archive-1", b"(", b"type"];
    let with = |words: &[&[u8]]| nar(&[&head[..], words].concat());
    assert!(matches!(fault(&with(&[b"regular", b")"])), NarFault::Expected(_)));
    assert!(matches!(fault(&with(&[b"regular", b"executable", b"x"])), NarFault::Expected(_)));
    assert!(matches!(fault(&with(&[b"device"])), NarFault::Expected(_)));
    assert!(matches!(fault(&with(&[b"symlink", b"target", b""])), NarFault::Expected(_)));
    let mut padded = with(&[b"regular", b"contents", b"x", b")"]);
    let at = padded.len() - 24;
    padded[at + 1..].iter_mut().take(1).for_each(|byte| *byte = 1);
    assert!(matches!(fault(&padded), NarFault::Padding));
    assert!(matches!(fault(b"\xff\xff\xff\xff\xff\xff\xff\xffnix"), NarFault::TooLong(..)));
}

#[test]
fn directories_without_end_are_refused() {
    let mut words: Vec<&[u8]> = vec![b"nix-archive-1"];
    for _ in 0..5000 {
        words.extend([&b"("[..], b"type", b"directory", b"entry", b"(", b"name", b"d", b"node"]);
    }
    let mut check = NarCheck::new();
    assert!(matches!(check.feed(&nar(&words)).unwrap_err().fault, NarFault::TooDeep));
}

#[test]
fn a_socket_has_no_nar() {
    let dir = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    assert!(dump(dir.path(), &mut Vec::new()).is_err());
}
