//! What a real `nix-daemon` knows, takes, gives and fetches.

mod support;

use std::collections::BTreeSet;

use drover_daemon::{Connection, DaemonConfig, DaemonError, Options, PathInfo, StoreDaemon, Substituters, nix};
use drover_store::{Sha256, StoreDir, StorePath, text_path};
use support::{Lab, store_path};

/// Larger than the buffers on the way.
const BIG_BYTES: usize = 5_000_003;

#[tokio::test]
async fn nobody_at_the_socket_is_said_with_its_path() {
    let config = DaemonConfig::new("/nonexistent/socket", StoreDir::nix());
    let error = Connection::connect(&config).await.unwrap_err();
    assert!(matches!(error, DaemonError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/socket"), "{error}");
}

#[tokio::test]
async fn a_text_gets_the_path_that_we_compute_and_keeps_its_references() {
    let Some(lab) = Lab::start(&[]) else { return };
    let mut connection = lab.connect().await;
    let first = connection.add_text("first", b"one", &[]).await.unwrap();
    let second = connection.add_text("second", b"two", std::slice::from_ref(&first)).await.unwrap();
    let references = BTreeSet::from([first.clone()]);
    let computed = text_path(&StoreDir::nix(), "second", &Sha256::of(b"two"), &references).unwrap();
    assert_eq!(second, computed);
    let info = connection.path_info(&second).await.unwrap().unwrap();
    assert_eq!(info.references, references);
    assert!(info.content_address.is_some());
    assert_eq!(std::fs::read(lab.file(&second)).unwrap(), b"two");
}

#[tokio::test]
async fn many_paths_are_looked_up_at_once() {
    let Some(lab) = Lab::start(&[]) else { return };
    let mut connection = lab.connect().await;
    let mut there = BTreeSet::new();
    for n in 0..20 {
        there.insert(connection.add_text(&format!("text-{n}"), b"text", &[]).await.unwrap());
    }
    let absent: StorePath = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-absent".parse().unwrap();
    let asked = there.iter().cloned().chain([absent.clone()]).collect();
    assert_eq!(connection.query_valid(&asked).await.unwrap(), there);
    assert_eq!(connection.path_info(&absent).await.unwrap(), None);
}

/// A connection with what only Nix's dialect has: nars.
async fn connect(lab: &Lab) -> nix::Connection {
    match lab.connect().await {
        Connection::Nix(connection) => connection,
        other => panic!("a nix-daemon was to answer: {other:?}"),
    }
}

/// A path of several megabytes in `lab`, what is known about it, and its nar.
async fn big_path(lab: &Lab) -> (PathInfo, Vec<u8>) {
    let file = lab.scratch().join("big");
    let noise: Vec<u8> = (0..BIG_BYTES as u64).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&file, noise).expect("room on the disk");
    let path = store_path(&lab.run(&["nix-store", "--add", file.to_str().expect("UTF-8")]));
    let mut connection = connect(lab).await;
    let info = connection.path_info(&path).await.expect("an answer").expect("a valid path");
    let mut nar = Vec::new();
    connection.nar(&path, info.nar_size, &mut nar).await.expect("its nar");
    (info, nar)
}

#[tokio::test]
async fn a_nar_travels_whole_from_one_store_to_another() {
    let (Some(there), Some(here)) = (Lab::start(&[]), Lab::start(&[])) else { return };
    let (info, nar) = big_path(&there).await;
    assert_eq!((nar.len() as u64, Sha256::of(&nar)), (info.nar_size, info.nar_hash));
    let mut connection = connect(&here).await;
    connection.add_nar(&info, &nar[..], true).await.unwrap();
    let arrived = connection.path_info(&info.path).await.unwrap().unwrap();
    assert_eq!((arrived.nar_hash, arrived.content_address), (info.nar_hash, info.content_address));
    let mut again = Vec::new();
    connection.nar(&info.path, info.nar_size, &mut again).await.unwrap();
    assert!(again == nar);
}

#[tokio::test]
async fn a_refused_nar_leaves_the_connection_usable() {
    let (Some(there), Some(here)) = (Lab::start(&[]), Lab::start(&[])) else { return };
    let (mut info, nar) = big_path(&there).await;
    info.content_address = None;
    let mut connection = connect(&here).await;
    let unsigned = connection.add_nar(&info, &nar[..], true).await.unwrap_err();
    assert!(unsigned.to_string().contains("signature"), "{unsigned}");
    let lie = PathInfo { nar_hash: Sha256::of(b"another"), ..info.clone() };
    let mismatch = connection.add_nar(&lie, &nar[..], false).await.unwrap_err();
    assert!(matches!(mismatch, DaemonError::Daemon(_)), "{mismatch:?}");
    let cut_short = connection.add_nar(&info, &nar[..nar.len() / 2], false).await.unwrap_err();
    assert!(matches!(cut_short, DaemonError::Daemon(_)), "{cut_short:?}");
    assert!(!connection.is_valid(&info.path).await.unwrap());
    connection.add_nar(&info, &nar[..], false).await.unwrap();
    assert!(connection.is_valid(&info.path).await.unwrap());
}

#[tokio::test]
async fn the_nar_of_a_path_that_is_not_there_is_refused() {
    let Some(lab) = Lab::start(&[]) else { return };
    let mut connection = connect(&lab).await;
    let absent: StorePath = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-absent".parse().unwrap();
    let mut received = Vec::new();
    let refused = connection.nar(&absent, 400, &mut received).await.unwrap_err();
    assert!(matches!(refused, DaemonError::Daemon(_)), "{refused:?}");
    assert!(received.is_empty());
    let next = connection.is_valid(&absent).await;
    assert!(matches!(next, Ok(false) | Err(DaemonError::Lost(_))), "{next:?}");
}

/// Copies a text to a binary cache with a signature, and gives its path and the public key.
fn publish(lab: &Lab, cache: &str) -> (StorePath, String) {
    let (secret, public) = (lab.scratch().join("secret"), lab.scratch().join("public"));
    let [secret, public] = [&secret, &public].map(|file| file.to_str().expect("UTF-8"));
    lab.run(&["nix-store", "--generate-binary-cache-key", "test-1", secret, public]);
    let expression = support::shell("published", "", "echo published > $out");
    let absolute = lab.run(&["nix-build", "--no-out-link", "--expr", &expression]);
    let nix = ["nix", "--extra-experimental-features", "nix-command"];
    lab.run(&[&nix[..], &["store", "sign", "--key-file", secret, &absolute]].concat());
    lab.run(&[&nix[..], &["copy", "--to", cache, &absolute]].concat());
    (store_path(&absolute), std::fs::read_to_string(public).expect("the public key"))
}

#[tokio::test]
async fn a_path_is_fetched_from_a_cache_when_its_key_is_trusted_and_only_then() {
    let Some(there) = Lab::start(&[]) else { return };
    let cache = tempfile::tempdir_in("/tmp").unwrap();
    let cache = format!("file://{}", cache.path().display());
    let (path, key) = publish(&there, &cache);
    let stranger = "test-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
    let (Some(distrusts), Some(trusts)) = (Lab::start(&[]), Lab::start(&[])) else { return };
    for (lab, key, fetched) in [(&distrusts, stranger, false), (&trusts, key, true)] {
        let substituters = Substituters::From { urls: vec![cache.clone()], trusted_public_keys: vec![key] };
        let substituting = Options { substituters, ..Options::default() };
        let mut connection = lab.connect().await;
        let refused = connection.ensure(&path).await.unwrap_err();
        assert!(matches!(refused, DaemonError::Daemon(_)), "without substitution: {refused:?}");
        connection.set_options(&substituting).await.unwrap();
        assert_eq!(connection.ensure(&path).await.is_ok(), fetched);
        assert_eq!(connection.is_valid(&path).await.unwrap(), fetched);
    }
}

#[tokio::test]
async fn roots_keep_a_path_from_the_collector() {
    let Some(lab) = Lab::start(&[]) else { return };
    let mut connection = lab.connect().await;
    let rooted = connection.add_text("rooted", b"kept", &[]).await.unwrap();
    let link = lab.scratch().join("link to rooted");
    std::os::unix::fs::symlink(StoreDir::nix().path(&rooted), &link).unwrap();
    connection.add_indirect_root(&link).await.unwrap();
    let mut keeper = lab.connect().await;
    let held = connection.add_text("held", b"kept while connected", &[]).await.unwrap();
    keeper.add_temp_root(&held).await.unwrap();
    let loose = connection.add_text("loose", b"dropped", &[]).await.unwrap();
    drop(connection); // what a connection added is kept as long as it lives
    let all = BTreeSet::from([rooted.clone(), held.clone(), loose]);
    support::until("the loose path is collected", || {
        lab.run(&["nix-store", "--gc"]);
        all.iter().filter(|path| lab.file(path).exists()).count() < 3
    })
    .await;
    assert_eq!(keeper.query_valid(&all).await.unwrap(), BTreeSet::from([rooted, held]));
}
