//! What is asked, and what is answered.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::query::MAX_PAGE;
use drover_store::{SecretKey, StoreDir, guix};

use crate::farm::Farm;
use crate::shelf::{Shelf, path_of};

fn flag(name: &str, value: &str) -> [String; 2] {
    [format!("--{name}"), value.to_owned()]
}

fn set(urls: &[&str]) -> BTreeSet<String> {
    urls.iter().map(|url| (*url).to_owned()).collect()
}

#[tokio::test]
async fn each_item_is_found_at_every_server_where_a_trusted_key_signed_it() {
    let (trusted, other) = (SecretKey::generate("trusted-1").unwrap(), SecretKey::generate("other-1").unwrap());
    let (one, two) = (Shelf::of(&StoreDir::nix()), Shelf::of(&StoreDir::nix()));
    let (one_url, two_url) = (one.serve().await, two.as_folder());
    let both = one.put_nix("both", &trusted);
    two.put_nix("both", &trusted);
    let second = two.put_nix("second", &trusted);
    let untrusted = one.put_nix("untrusted", &other);
    let broken = path_of("broken");
    one.put(&broken, "this is no narinfo");
    let flags = [
        // A slash at the end does not make it another server.
        flag("substitute-url", &format!("{one_url}/")),
        flag("substitute-url", &two_url),
        flag("trusted-public-key", &trusted.public().to_string()),
    ];
    let Some(farm) = Farm::start(&flags.concat()).await else { return };
    let asked = [both.clone(), second.clone(), untrusted, broken, path_of("absent")];
    let found = farm.ask(&StoreDir::nix(), &asked).await.unwrap();
    assert_eq!(found, BTreeMap::from([(both, set(&[&one_url, &two_url])), (second, set(&[&two_url]))]));
}

#[tokio::test]
async fn what_was_there_is_believed_for_a_while_and_what_was_not_is_asked_again() {
    let key = SecretKey::generate("trusted-1").unwrap();
    let shelf = Shelf::of(&StoreDir::nix());
    let here = shelf.put_nix("here", &key);
    let url = shelf.serve().await;
    let flags = [flag("substitute-url", &url), flag("trusted-public-key", &key.public().to_string())];
    let Some(farm) = Farm::start(&flags.concat()).await else { return };
    let asked = [here.clone(), path_of("later")];
    assert_eq!(farm.ask(&StoreDir::nix(), &asked).await.unwrap().len(), 1);
    shelf.remove(&here);
    shelf.put_nix("later", &key);
    assert_eq!(farm.ask(&StoreDir::nix(), &asked).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_of_another_store_and_a_silent_one_have_nothing_and_hinder_nobody() {
    let key = SecretKey::generate("trusted-1").unwrap();
    let (nix, gnu) = (Shelf::of(&StoreDir::nix()), Shelf::of(&StoreDir::guix()));
    let here = nix.put_nix("here", &key);
    gnu.put_nix("here", &key);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (nix_url, gnu_url) = (nix.serve().await, gnu.serve().await);
    let flags = [
        flag("substitute-url", &format!("http://{nobody}")),
        flag("substitute-url", &gnu_url),
        flag("substitute-url", &nix_url),
        flag("trusted-public-key", &key.public().to_string()),
    ];
    let Some(farm) = Farm::start(&flags.concat()).await else { return };
    let found = farm.ask(&StoreDir::nix(), [&here]).await.unwrap();
    assert_eq!(found, BTreeMap::from([(here, set(&[&nix_url]))]));
}

#[tokio::test]
async fn a_whole_page_is_answered_and_more_than_that_refused() {
    let key = SecretKey::generate("trusted-1").unwrap();
    let shelf = Shelf::of(&StoreDir::nix());
    let paths: Vec<_> = (0..=MAX_PAGE).map(|n| shelf.put_nix(&format!("item-{n}"), &key)).collect();
    let url = shelf.serve().await;
    let flags = [flag("substitute-url", &url), flag("trusted-public-key", &key.public().to_string())];
    let Some(farm) = Farm::start(&flags.concat()).await else { return };
    assert_eq!(farm.ask(&StoreDir::nix(), &paths[1..]).await.unwrap().len(), MAX_PAGE);
    let error = farm.ask(&StoreDir::nix(), &paths).await.unwrap_err();
    assert!(error.to_string().contains("more than 500"), "{error}");
}

#[tokio::test]
async fn both_families_are_asked_each_at_its_own_servers() {
    let (nix_key, guix_key, other_key) =
        (SecretKey::generate("trusted-1").unwrap(), guix::SecretKey::generate(), guix::SecretKey::generate());
    let (nix, gnu) = (Shelf::of(&StoreDir::nix()), Shelf::of(&StoreDir::guix()));
    let of_nix = nix.put_nix("item", &nix_key);
    let of_guix = gnu.put_guix("item", &guix_key);
    let untrusted = gnu.put_guix("untrusted", &other_key);
    let (nix_url, gnu_url) = (nix.serve().await, gnu.serve().await);
    let folder = tempfile::tempdir().unwrap();
    let acl = folder.path().join("acl");
    std::fs::write(&acl, format!("(acl (entry {} (tag (guix import))))", guix_key.public())).unwrap();
    let flags = [
        flag("substitute-url", &nix_url),
        flag("substitute-url", &gnu_url),
        flag("trusted-public-key", &nix_key.public().to_string()),
        flag("guix-acl", acl.to_str().unwrap()),
    ];
    let Some(farm) = Farm::start(&flags.concat()).await else { return };
    let found = farm.ask(&StoreDir::guix(), [&of_guix, &untrusted]).await.unwrap();
    assert_eq!(found, BTreeMap::from([(of_guix, set(&[&gnu_url]))]));
    let found = farm.ask(&StoreDir::nix(), [&of_nix]).await.unwrap();
    assert_eq!(found, BTreeMap::from([(of_nix, set(&[&nix_url]))]));
}
