//! Sources that users bring: their paths are computed, and nobody is believed.

use std::collections::BTreeSet;

use drover_messages::publish::{Origin, PublishVerdict};
use drover_messages::{ClientId, SubmissionId};
use drover_store::{ContentAddress, Digest, FixedHash, HashAlgo, Sha256, StoreDir, StorePath};

use crate::common::{directory, dump, file, path_of};
use crate::fixture::Farm;

fn flat(contents: &str) -> ContentAddress {
    let digest = Digest::new(HashAlgo::Sha256, Sha256::of(contents.as_bytes()).as_bytes()).unwrap();
    ContentAddress::Fixed(FixedHash { recursive: false, digest })
}

fn path(address: &ContentAddress, references: &[&StorePath]) -> StorePath {
    let references: BTreeSet<StorePath> = references.iter().map(|path| (*path).clone()).collect();
    address.path_of(&StoreDir::nix(), "source", &references).unwrap()
}

#[tokio::test]
async fn sources_of_every_kind_are_published_by_their_content() {
    let farm = Farm::new();
    let (tree, text) = (directory("tree"), ContentAddress::Text(Sha256::of(b"text")));
    let cases = [(file("flat"), flat("flat")), (file("text"), text), (tree.clone(), ContentAddress::source(Sha256::of(&tree)))];
    for (nar, address) in cases {
        let request = farm.source(&path(&address, &[]), &nar, &[], address).await;
        assert_eq!(farm.publish(&request).await, PublishVerdict::Published, "{address}");
        let narinfo = farm.served(&request.path).await.unwrap();
        assert_eq!((narinfo.ca, narinfo.deriver, narinfo.system), (Some(address), None, None));
    }
}

#[tokio::test]
async fn a_source_with_references_has_them_in_its_path() {
    let farm = Farm::new();
    let first = farm.source(&path(&flat("first"), &[]), &file("first"), &[], flat("first")).await;
    farm.publish(&first).await;

    let text = format!("see {}", StoreDir::nix().path(&first.path));
    let address = ContentAddress::Text(Sha256::of(text.as_bytes()));
    let right = path(&address, &[&first.path]);
    let without = farm.source(&right, &file(&text), &[], address).await;
    farm.assert_refused(&without, "another store path").await;
    let with = farm.source(&right, &file(&text), &[&first.path], address).await;
    assert_eq!(farm.publish(&with).await, PublishVerdict::Published);
    assert_eq!(farm.served(&right).await.unwrap().references, [first.path]);
}

/// As `nix store make-content-addressed` of Nix 2.8 made it.
#[tokio::test]
async fn a_source_that_refers_to_itself_is_published() {
    let farm = Farm::new();
    let itself: StorePath = "ixm0wljvb8aj3kddg5cqw1fhpm5gfmc3-selfy".parse().unwrap();
    let own = itself.hash_part();
    let text = format!("/nix/store/{itself} and /nix/store/{itself} x{own}y{own}{own}\n");
    let address = "fixed:r:sha256:166xnig1qn9kcjf1dfi1bd3704ac207r128rin672kqg05mxr8mw".parse().unwrap();
    let without = farm.source(&itself, &file(&text), &[], address).await;
    farm.assert_refused(&without, "its content has the hash").await;
    let changed = farm.source(&itself, &file(text.replace("and", "AND")), &[&itself], address).await;
    farm.assert_refused(&changed, "its content has the hash").await;
    let request = farm.source(&itself, &file(&text), &[&itself], address).await;
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
    let narinfo = farm.served(&itself).await.unwrap();
    assert_eq!((narinfo.references, narinfo.ca), (vec![itself], Some(address)));
}

#[tokio::test]
async fn a_source_that_is_not_what_it_is_called_is_refused() {
    let farm = Farm::new();
    let renamed = farm.source(&path_of("source"), &file("flat"), &[], flat("flat")).await;
    farm.assert_refused(&renamed, "another store path").await;

    let changed = farm.source(&path(&flat("flat"), &[]), &file("fleet"), &[], flat("flat")).await;
    farm.assert_refused(&changed, "its content has the hash").await;

    let tree = farm.source(&path(&flat("flat"), &[]), &directory("flat"), &[], flat("flat")).await;
    farm.assert_refused(&tree, "one file").await;

    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    std::fs::write(&program, "flat").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let executable = farm.source(&path(&flat("flat"), &[]), &dump(&program), &[], flat("flat")).await;
    farm.assert_refused(&executable, "one file").await;
}

#[tokio::test]
async fn a_source_outside_of_its_bringers_corner_is_refused() {
    let farm = Farm::new();
    let good = farm.source(&path(&flat("flat"), &[]), &file("flat"), &[], flat("flat")).await;
    let Origin::Source { ca, .. } = good.origin else { unreachable!() };
    let mut of_another = good.clone();
    of_another.origin = Origin::Source { client: ClientId::new(), submission: SubmissionId::new(), ca };
    farm.assert_refused(&of_another, "lies elsewhere").await;
}
