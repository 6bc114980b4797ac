//! Whose word counts.

use std::collections::BTreeSet;

use drover_store::{ContentAddress, NarInfo, SecretKey, Sha256, StoreDir};
use drover_substituter::Trust;

use crate::site::narinfo;

fn signed(mut info: NarInfo, key: &SecretKey) -> NarInfo {
    info.sigs.push(key.sign(&info.fingerprint(&StoreDir::nix())));
    info
}

#[test]
fn nix_believes_a_trusted_key_and_nobody_else() {
    let (ours, theirs) = (SecretKey::generate("ours").unwrap(), SecretKey::generate("theirs").unwrap());
    let trust = Trust::nobody().and_nix([ours.public()]);
    let accepts = |info: &NarInfo| trust.accepts(&StoreDir::nix(), info);
    let info = narinfo("x", b"nar", "nar/x", "none");
    assert!(!accepts(&info));
    assert!(!accepts(&signed(info.clone(), &theirs)));
    let good = signed(signed(info, &theirs), &ours);
    assert!(accepts(&good));
    assert!(!accepts(&NarInfo { nar_size: good.nar_size + 1, ..good.clone() }));
    assert!(!Trust::nobody().accepts(&StoreDir::nix(), &good));
}

#[test]
fn nix_needs_no_key_for_what_is_named_by_its_content() {
    let mut info = narinfo("x", b"nar", "nar/x", "none");
    let text = ContentAddress::Text(Sha256::of(b"text"));
    info.ca = Some(text);
    assert!(!Trust::nobody().accepts(&StoreDir::nix(), &info));
    info.store_path = text.path_of(&StoreDir::nix(), "x", &BTreeSet::new()).unwrap();
    assert!(Trust::nobody().accepts(&StoreDir::nix(), &info));
}
