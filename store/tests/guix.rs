//! Guix's signatures and narinfos: what Guix and libgcrypt made is accepted, and what we make is the same byte for byte.

#![allow(clippy::unwrap_used)] // a test that panics fails

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use drover_store::guix::{Acl, PublicKey, SecretKey, Sexp, Signature};
use drover_store::{NarInfo, StoreDir};

const NARINFOS: [&str; 2] = ["narinfo/guix.narinfo", "narinfo/guix-bordeaux.narinfo"];

fn vector(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)).unwrap()
}

fn acl() -> Acl {
    Acl::parse(&vector("guix-signing/acl")).unwrap()
}

fn parse(text: &str) -> NarInfo {
    NarInfo::parse(&StoreDir::guix(), text).unwrap()
}

fn is_accepted(text: &str) -> bool {
    NarInfo::parse(&StoreDir::guix(), text).is_ok_and(|info| info.signature.is_some_and(|signature| acl().accepts(&signature)))
}

#[test]
fn a_signature_is_the_one_that_libgcrypt_makes() {
    let key = SecretKey::parse(&vector("guix-signing/signing-key.sec")).unwrap();
    let signatures = vector("guix-signing/signatures");
    for line in signatures.lines() {
        let [n, r, s] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let signature = key.sign("host", &format!("text {n}")).unwrap();
        let numbers = format!("(r #{r}#)\n   (s #{s}#)").to_uppercase().replace("(R", "(r").replace("(S", "(s");
        let sexp = signature.to_sexp().to_string();
        assert!(sexp.contains(&numbers), "text {n}: {sexp}");
        assert!(signature.verify());
    }
    assert_eq!(signatures.lines().count(), 100);
}

#[test]
fn keys_are_written_as_libgcrypt_writes_them() {
    let (secret, public) = (vector("guix-signing/signing-key.sec"), vector("guix-signing/signing-key.pub"));
    let key = SecretKey::parse(&secret).unwrap();
    assert_eq!(key.to_file(), secret);
    assert_eq!(key.public().to_string(), public);
    assert_eq!(PublicKey::parse(&public), Ok(key.public()));
    assert_eq!(acl().keys().len(), 3);
    assert_eq!(Sexp::parse(vector("guix-signing/acl").as_bytes()).unwrap().to_string(), vector("guix-signing/acl"));
}

#[test]
fn narinfos_of_guix_are_believed_and_written_again_byte_for_byte() {
    for text in NARINFOS.map(vector) {
        assert!(is_accepted(&text), "{text}");
        let info = parse(&text);
        assert_eq!(info.write(&StoreDir::guix()), text);
        assert_eq!(info.signature.unwrap().to_string(), text.lines().find_map(|l| l.strip_prefix("Signature: ")).unwrap());
    }
    assert_eq!(parse(&vector(NARINFOS[1])).signature.unwrap().host(), "bayfront");
}

#[test]
fn every_way_to_fetch_a_nar_is_read() {
    let files = parse(&vector(NARINFOS[0])).files;
    let ways: Vec<_> = files.iter().map(|file| (file.compression.as_str(), file.file_size)).collect();
    assert_eq!(ways, [("gzip", Some(11_686)), ("zstd", Some(3811)), ("lzip", Some(2160))]);
    assert!(
        files.iter().all(|file| file.url == format!("nar/{}/ch3s2yggc834xm8ghv32yxzyb1lpcn82-pubdemo-1.0", file.compression))
    );
}

#[test]
fn a_changed_narinfo_is_not_believed() {
    let text = vector(NARINFOS[0]);
    let without_hash: String = text.split_inclusive('\n').filter(|line| !line.starts_with("NarHash")).collect();
    let changes = [
        text.replace("NarSize: 369032", "NarSize: 369033"),
        text.replace("References: 644", "References: 744"),
        text.replace("Deriver: ", "Deriver: 00000000000000000000000000000000-x.drv\nDeriver: "),
        text.replace("StorePath:", "System: x86_64-linux\nStorePath:"),
        text.replace("Signature: 1;vm;", "Signature: 2;vm;"),
        text.replace("Signature: 1;vm;", "Signature: 1;vm;AA"),
        text.replace("Signature: ", "Signature: 1;vm;KCk=\nSignature: "),
    ];
    assert!(is_accepted(&text));
    for changed in changes {
        assert_ne!(changed, text);
        assert!(!is_accepted(&changed), "{changed}");
    }
    // What is signed must be all that matters: this one was signed without its hash.
    let key = SecretKey::generate();
    let (lines, files) = without_hash.split_once("Signature: ").unwrap();
    let hash = "NarHash: sha256:03mg3ak09fqbkj2kj6gafwk9irpkmi17jz7ksy6nmc0rpzsys2pa";
    let behind = format!("{lines}Signature: {}\n{hash}\n{}", key.sign("vm", lines).unwrap(), files.split_once('\n').unwrap().1);
    assert_eq!(parse(&behind).signature, None);
    // Where the nar is nobody signs.
    assert!(is_accepted(&text.replace("nar/gzip", "elsewhere")));
}

#[test]
fn a_signature_counts_by_a_key_of_the_list_only_and_only_if_it_is_to_import() {
    let text = vector(NARINFOS[0]);
    let signature = parse(&text).signature.unwrap();
    let stranger = SecretKey::generate();
    assert!(!Acl::from_iter([stranger.public()]).accepts(&signature));
    assert!(Acl::from_iter([*signature.key()]).accepts(&signature));
    let for_another_use = vector("guix-signing/acl").replace("guix import", "guix export");
    assert_eq!(Acl::parse(&for_another_use).unwrap().keys(), []);

    let mut forged = parse(&text);
    forged.signature = Some(stranger.sign("vm", &forged.signed_lines(&StoreDir::guix())).unwrap());
    assert!(!is_accepted(&forged.write(&StoreDir::guix())));
}

#[test]
fn numbers_under_another_key_or_of_another_hash_are_no_signature() {
    let key = SecretKey::generate();
    let good = key.sign("here", "text").unwrap();
    let sexp = good.to_sexp().to_string();
    let signed = |sexp: &str| format!("1;here;{}", BASE64.encode(sexp)).parse::<Signature>();
    let hex = |bytes: &[u8]| drover_store::hex::encode(bytes).to_uppercase();
    let other_key = sexp.replace(&hex(key.public().q()), &hex(SecretKey::generate().public().q()));
    let other_hash = sexp.replace(&hex(good.hash().as_bytes()), &"01".repeat(32));
    // A number may begin with zeros that are not written.
    let numbers_too_large = sexp.replace("(r #", &format!("(r #{}", "FF".repeat(32)));
    let r = &sexp[sexp.find("(r #").unwrap()..sexp.find("(s #").unwrap()];
    assert!(signed(&sexp).unwrap().verify());
    for forged in [other_key, other_hash] {
        assert_ne!(forged, sexp);
        assert!(!signed(&forged).unwrap().verify());
    }
    assert!(signed(&numbers_too_large).is_err_and(|error| error.why().contains("too large")));
    assert!(!signed(&sexp.replace(r, "(r #00#)")).unwrap().verify(), "zero");
    let order = "(r #1000000000000000000000000000000014DEF9DEA2F79CD65812631A5CF5D3ED#)";
    assert!(!signed(&sexp.replace(r, order)).unwrap().verify(), "the order");
}

/// The seven examples that real publishers signed, which lie beside the checkout where they are at hand.
#[test]
fn all_examples_of_real_publishers_are_believed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/guix/publish");
    let folders = ["cache", "nocache", "upstream"].map(|name| fs::read_dir(root.join(name)));
    let files: Vec<PathBuf> = folders.into_iter().flatten().flatten().map(|entry| entry.unwrap().path()).collect();
    if files.is_empty() {
        eprintln!("SKIPPED: there are no examples in {}", root.display());
        return;
    }
    let texts = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "narinfo"));
    let signed: Vec<String> =
        texts.map(|file| fs::read_to_string(file).unwrap()).filter(|text| text.contains("\nSignature:")).collect();
    assert_eq!(signed.len(), 7);
    for text in signed {
        assert!(is_accepted(&text), "{text}");
        assert_eq!(parse(&text).write(&StoreDir::guix()), text);
    }
}
