//! Whose word counts.

use std::collections::BTreeSet;

use drover_store::{ContentAddress, NarInfo, SecretKey, Sha256, StoreDir, guix};
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

#[test]
fn guix_believes_a_key_of_its_own_kind_and_nothing_else() {
    let store = StoreDir::guix();
    let (ours, theirs) = (guix::SecretKey::generate(), guix::SecretKey::generate());
    let trust = Trust::nobody().and_guix([theirs.public()]).and_guix([ours.public()]);
    let mut info = narinfo("x", b"nar", "nar/x", "none");
    info.ca = Some(ContentAddress::source(info.nar_hash));
    info.store_path = ContentAddress::source(info.nar_hash).path_of(&store, "x", &BTreeSet::new()).unwrap();
    assert!(!trust.accepts(&store, &info));
    info.signature = Some(ours.sign("here", &info.signed_lines(&store)).unwrap());
    let sent = |info: &NarInfo| NarInfo::parse(&store, &info.write(&store)).unwrap();
    assert!(trust.accepts(&store, &sent(&info)));
    assert!(!Trust::nobody().and_guix([theirs.public()]).accepts(&store, &sent(&info)));
    info.nar_size += 1;
    assert!(!trust.accepts(&store, &sent(&info)));
}
