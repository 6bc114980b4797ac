//! Outputs of builds: what is right is published, whatever is not as reported is refused and leaves nothing.

use drover_messages::publish::{Origin, PublishVerdict};
use drover_messages::request::Nar;
use drover_messages::{AgentId, AttemptId};
use drover_store::{ContentAddress, Digest, FixedHash, HashAlgo, Sha256, StoreDir, StorePath};

use crate::common::{directory, file, path_of};
use crate::fixture::{Farm, MAX_NAR_BYTES};

#[tokio::test]
async fn a_good_output_is_published_with_all_that_is_known_of_it() {
    let farm = Farm::new();
    let (path, input) = (path_of("hello"), path_of("zlib"));
    let needed = farm.output(&input, &file("zlib"), &[], &[]).await;
    assert_eq!(farm.publish(&needed).await, PublishVerdict::Published);

    let nar = directory(format!("{} and {}", input.hash_part(), path.hash_part()));
    let request = farm.output(&path, &nar, &[&input, &path], &[&input, &path_of("gcc")]).await;
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);

    let narinfo = farm.served(&path).await.unwrap();
    assert_eq!(narinfo.nar_hash, Sha256::of(&nar));
    assert_eq!(narinfo.references.len(), 2);
    assert_eq!(narinfo.deriver, Some(path_of("recipe.drv")));
    assert_eq!(narinfo.system.as_deref(), Some("x86_64-linux"));
    assert_eq!(narinfo.ca, None);
    let info = farm.bucket.get(&drover_bucket::Key::CacheInfo(StoreDir::nix()), 1000).await.unwrap();
    assert_eq!(info, "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n");
}

#[tokio::test]
async fn an_output_larger_than_one_part_is_published_too() {
    let farm = Farm::new();
    // Bytes that zstd cannot make smaller.
    let contents: Vec<u8> = (0..700_000u32).flat_map(|n| *Sha256::of(&n.to_le_bytes()).as_bytes()).collect();
    let request = farm.output(&path_of("large"), &file(contents), &[], &[]).await;
    assert!(request.nar.file_size > drover_bucket::PART_BYTES as u64 * 2);
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
    assert!(farm.served(&request.path).await.is_some());
}

#[tokio::test]
async fn a_large_nar_that_was_changed_never_appears() {
    let farm = Farm::new();
    let contents: Vec<u8> = (0..700_000u32).flat_map(|n| *Sha256::of(&n.to_le_bytes()).as_bytes()).collect();
    let mut request = farm.output(&path_of("large"), &file(contents), &[], &[]).await;
    request.nar.nar_hash = Sha256::of(b"another");
    farm.assert_refused(&request, "nar has the hash").await;
    request.nar.file_hash = Sha256::of(b"another");
    farm.assert_refused(&request, "uploaded file has the hash").await;
}

#[tokio::test]
async fn a_nar_that_was_changed_in_the_bucket_is_refused() {
    let farm = Farm::new();
    let request = farm.output(&path_of("hello"), &file("hello"), &[], &[]).await;
    let changed = zstd::encode_all(&file("hullo")[..], 3).unwrap();
    let key = request.nar.key.parse().unwrap();
    farm.bucket.put(&key, changed.into()).await.unwrap();
    farm.assert_refused(&request, "uploaded file has").await;
    assert_eq!(farm.served(&request.path).await, None);
}

#[tokio::test]
async fn what_differs_from_the_report_is_refused() {
    let farm = Farm::new();
    let good = farm.output(&path_of("hello"), &file("hello"), &[], &[]).await;
    let other = Sha256::of(b"other");
    type Change = fn(&mut Nar, Sha256);
    let cases: [(&str, Change); 6] = [
        ("uploaded file has the hash", |nar, other| nar.file_hash = other),
        ("uploaded file has", |nar, _| nar.file_size += 1),
        ("uploaded file has", |nar, _| nar.file_size -= 1),
        ("nar has the hash", |nar, other| nar.nar_hash = other),
        ("nar has", |nar, _| nar.nar_size += 8),
        ("nar has", |nar, _| nar.nar_size -= 8),
    ];
    for (because, change) in cases {
        let mut request = good.clone();
        change(&mut request.nar, other);
        farm.assert_refused(&request, because).await;
    }
    assert_eq!(farm.served(&good.path).await, None);
}

#[tokio::test]
async fn bytes_that_are_no_nar_are_refused_though_their_hashes_are_right() {
    let farm = Farm::new();
    let nar = file("hello");
    let behind = [&nar[..], b"more bytes"].concat();
    for (bytes, because) in
        [(&b"not a nar at all"[..], "malformed"), (&nar[..nar.len() - 8], "nar has"), (&behind[..], "nar has")]
    {
        let request = farm.output(&path_of("hello"), bytes, &[], &[]).await;
        farm.assert_refused(&request, because).await;
    }
}

#[tokio::test]
async fn a_bomb_is_refused_at_its_first_byte_too_many() {
    let farm = Farm::new();
    let mut request = farm.output(&path_of("bomb"), &file(vec![0; 50 << 20]), &[], &[]).await;
    request.nar.nar_size = 1000;
    farm.assert_refused(&request, "nar has").await;
    request.nar.nar_size = MAX_NAR_BYTES + 1;
    farm.assert_refused(&request, "this farm takes").await;
}

#[tokio::test]
async fn a_reference_that_was_not_declared_is_refused() {
    let farm = Farm::new();
    let (path, input) = (path_of("hello"), path_of("zlib"));
    let request = farm.output(&path, &file(format!("uses {}", input.hash_part())), &[], &[&input]).await;
    farm.assert_refused(&request, "without saying so").await;
    let to_itself = farm.output(&path, &file(format!("I am {}", path.hash_part())), &[], &[]).await;
    farm.assert_refused(&to_itself, "without saying so").await;
}

#[tokio::test]
async fn a_reference_that_is_declared_and_absent_is_refused() {
    let farm = Farm::new();
    let input = path_of("zlib");
    farm.publish(&farm.output(&input, &file("zlib"), &[], &[]).await).await;
    let request = farm.output(&path_of("hello"), &file("uses nothing"), &[&input], &[&input]).await;
    farm.assert_refused(&request, "does not refer to").await;
}

#[tokio::test]
async fn a_nar_outside_of_its_makers_corner_is_refused() {
    let farm = Farm::new();
    let good = farm.output(&path_of("hello"), &file("hello"), &[], &[]).await;
    let Origin::Output { agent, attempt, .. } = &good.origin else { unreachable!() };
    let (agent, attempt) = (agent.to_string(), attempt.to_string());
    let wrong = [
        good.nar.key.replace(&attempt, &AttemptId::new().to_string()),
        good.nar.key.replace(&agent, &AgentId::new().to_string()),
        good.nar.key.replace("/0/", "/0/../../"),
        format!("cache/nix-store/nar/{}.nar.zst", good.nar.file_hash.to_nix32()),
    ];
    for key in wrong {
        let mut request = good.clone();
        request.nar.key = key;
        farm.assert_refused(&request, "lies elsewhere").await;
    }
}

#[tokio::test]
async fn an_output_waits_for_its_references() {
    let farm = Farm::new();
    let (path, input) = (path_of("hello"), path_of("zlib"));
    let request = farm.output(&path, &file(input.hash_part()), &[&input], &[&input]).await;
    assert_eq!(farm.publish(&request).await, PublishVerdict::ReferencesMissing { missing: vec![input.clone()] });
    assert_eq!(farm.served(&path).await, None);
    farm.publish(&farm.output(&input, &file("zlib"), &[], &[]).await).await;
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
}

#[tokio::test]
async fn an_output_does_not_wait_for_what_its_users_have_from_another_server() {
    let farm = Farm::new();
    let (path, input) = (path_of("hello"), path_of("zlib"));
    let mut request = farm.output(&path, &file(input.hash_part()), &[&input], &[&input]).await;
    request.elsewhere = vec![input.clone()];
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
    assert_eq!(farm.served(&path).await.unwrap().references, [input]);
}

#[tokio::test]
async fn an_upload_that_is_not_there_is_said_to_be_missing() {
    let farm = Farm::new();
    let request = farm.output(&path_of("hello"), &file("hello"), &[], &[]).await;
    farm.bucket.delete(&request.nar.key.parse().unwrap()).await.unwrap();
    assert_eq!(farm.publish(&request).await, PublishVerdict::NarMissing);
}

/// A fixed output's path, and its address.
fn fixed(recursive: bool, algo: HashAlgo, digest: &[u8]) -> (StorePath, ContentAddress) {
    let address = ContentAddress::Fixed(FixedHash { recursive, digest: Digest::new(algo, digest).unwrap() });
    (address.path_of(&StoreDir::nix(), "tarball", &Default::default()).unwrap(), address)
}

#[tokio::test]
async fn a_fixed_output_has_the_content_that_its_derivation_promised() {
    use sha2::Digest as _;
    let farm = Farm::new();
    let (nar, tree) = (file("bytes"), directory("bytes"));
    let promises = [
        (&nar, fixed(false, HashAlgo::Sha256, &sha2::Sha256::digest("bytes"))),
        (&nar, fixed(false, HashAlgo::Md5, &md5::Md5::digest("bytes"))),
        (&nar, fixed(false, HashAlgo::Sha1, &sha1::Sha1::digest("bytes"))),
        (&nar, fixed(false, HashAlgo::Sha512, &sha2::Sha512::digest("bytes"))),
        (&tree, fixed(true, HashAlgo::Sha256, &sha2::Sha256::digest(&tree))),
        (&tree, fixed(true, HashAlgo::Sha1, &sha1::Sha1::digest(&tree))),
    ];
    for (nar, (path, address)) in promises {
        let mut request = farm.output(&path, nar, &[], &[]).await;
        let Origin::Output { ca, .. } = &mut request.origin else { unreachable!() };
        *ca = Some(address);
        assert_eq!(farm.publish(&request).await, PublishVerdict::Published, "{address}");
        assert_eq!(farm.served(&path).await.unwrap().ca, Some(address));
    }
}

#[tokio::test]
async fn a_fixed_output_with_another_content_is_refused() {
    use sha2::Digest as _;
    let farm = Farm::new();
    let promised = sha2::Sha256::digest("bytes");
    let (path, address) = fixed(false, HashAlgo::Sha256, &promised);
    for (nar, because) in [(file("others"), "its content has the hash"), (directory("bytes"), "one file")] {
        let mut request = farm.output(&path, &nar, &[], &[]).await;
        let Origin::Output { ca, .. } = &mut request.origin else { unreachable!() };
        *ca = Some(address);
        farm.assert_refused(&request, because).await;
    }
}
