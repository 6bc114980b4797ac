//! What servers say of themselves and of items.

use drover_store::{MAX_NARINFO_BYTES, NarInfo, StoreDir};
use drover_substituter::SubstituterError;

use crate::site::{Answer, Site, narinfo};

fn site_with(info: &NarInfo) -> (Site, String) {
    let site = Site::of(&StoreDir::nix());
    let name = format!("{}.narinfo", info.store_path.hash_part());
    site.put(&name, info.write(&StoreDir::nix()));
    (site, name)
}

#[tokio::test]
async fn a_narinfo_is_read_and_an_absent_one_is_no_error() {
    let (info, absent) = (narinfo("here", b"nar", "nar/x", "none"), narinfo("absent", b"", "nar/y", "none"));
    let (site, _) = site_with(&info);
    let folder = tempfile::tempdir().unwrap();
    for server in [site.serve().await, site.write(folder.path())] {
        let store = StoreDir::nix();
        assert_eq!(server.narinfo(&store, &info.store_path).await.unwrap(), Some(info.clone()));
        assert_eq!(server.narinfo(&store, &absent.store_path).await.unwrap(), None);
    }
    assert_eq!(site.asked("nix-cache-info"), 1);
}

#[tokio::test]
async fn a_server_of_another_store_is_not_asked_for_items() {
    let info = narinfo("here", b"nar", "nar/x", "none");
    let (site, name) = site_with(&info);
    let answer = site.serve().await.narinfo(&StoreDir::guix(), &info.store_path).await;
    assert!(matches!(answer, Err(SubstituterError::OtherStore { .. })), "{answer:?}");
    assert_eq!(site.asked(&name), 0);
}

#[tokio::test]
async fn what_is_no_substitute_server_is_broken() {
    let server = Site::default().serve().await;
    let error = server.info().await.unwrap_err();
    assert!(matches!(error, SubstituterError::Broken { .. }) && error.to_string().contains("no substitute server"), "{error}");
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_again_and_then_counts_as_unreachable() {
    let info = narinfo("here", b"nar", "nar/x", "none");
    let (site, name) = site_with(&info);
    let good = Answer::Bytes(info.write(&StoreDir::nix()).into());
    let server = site.serve().await;
    site.say(&name, [Answer::Status(503), Answer::Status(500), good]);
    assert!(server.narinfo(&StoreDir::nix(), &info.store_path).await.unwrap().is_some());
    site.say(&name, [Answer::Status(503)]);
    let error = server.narinfo(&StoreDir::nix(), &info.store_path).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let server = drover_substituter::Server::new(url.parse().unwrap()).unwrap();
    assert!(server.info().await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_forbidden_item_counts_as_absent_and_a_refusal_as_broken() {
    let info = narinfo("here", b"nar", "nar/x", "none");
    let (site, name) = site_with(&info);
    let server = site.serve().await;
    site.say(&name, [Answer::Status(403)]);
    assert_eq!(server.narinfo(&StoreDir::nix(), &info.store_path).await.unwrap(), None);
    site.say(&name, [Answer::Status(400)]);
    let asked = site.asked(&name);
    let error = server.narinfo(&StoreDir::nix(), &info.store_path).await.unwrap_err();
    assert!(matches!(error, SubstituterError::Broken { .. }), "{error}");
    assert_eq!(site.asked(&name), asked + 1);
}

#[tokio::test]
async fn a_narinfo_that_is_another_items_or_none_or_too_large_is_broken() {
    let (info, other) = (narinfo("asked", b"nar", "nar/x", "none"), narinfo("other", b"nar", "nar/x", "none"));
    let (site, name) = site_with(&info);
    let server = site.serve().await;
    for bad in [other.write(&StoreDir::nix()), "no narinfo".into(), "\n".repeat(MAX_NARINFO_BYTES + 1)] {
        site.put(&name, bad);
        let error = server.narinfo(&StoreDir::nix(), &info.store_path).await.unwrap_err();
        assert!(matches!(error, SubstituterError::Broken { .. }), "{error}");
    }
}
