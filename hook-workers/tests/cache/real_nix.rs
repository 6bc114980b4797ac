//! A real Nix fetches from the cache what `publish` put there: under the right key, and under no other.

use std::path::Path;
use std::process::{Command, Output};

use drover_hook_workers::publish::{Keys, Limits, Packing, Publisher};
use drover_messages::publish::PublishVerdict;
use drover_store::{SecretKey, StoreDir, StorePath};

use crate::common::{dump, output, path_of};
use crate::http::CacheServer;

async fn publish(server: &CacheServer, publisher: &Publisher, path: &StorePath, tree: &Path, references: &[StorePath]) {
    let request = output(&server.bucket, path, &dump(tree), references, references).await;
    assert_eq!(publisher.publish(&request).await.unwrap(), PublishVerdict::Published);
}

/// `nix-store --realise` into a store of its own, which had nothing.
fn realise(root: &Path, server: &CacheServer, key: &str, wanted: &str) -> Option<Output> {
    let conf = root.join("conf");
    std::fs::create_dir_all(&conf).unwrap();
    let text = format!(
        "require-sigs = true\nsandbox = false\nbuild-users-group =\nnarinfo-cache-negative-ttl = 0\n\
         substituters = http://{}/nix-store\ntrusted-public-keys = {key}\n",
        server.address
    );
    std::fs::write(conf.join("nix.conf"), text).unwrap();
    // With its environment cleared, Nix cannot take a daemon of this machine for its store.
    let output = Command::new("nix-store")
        .args(["--realise", wanted, "--store"])
        .arg(root.join("store"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", root)
        .env("NIX_CONF_DIR", &conf)
        .env("NIX_REMOTE", "local")
        .output();
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        output => Some(output.unwrap()),
    }
}

#[tokio::test]
async fn nix_fetches_what_was_published_and_believes_the_farms_key_only() {
    let key = SecretKey::generate("farm-1").unwrap();
    let server = CacheServer::start(&key.public().to_string());
    let publisher = Publisher::new(
        server.bucket.clone(),
        Keys::new(vec![key.clone()], None),
        Packing::default(),
        Limits { max_nar_bytes: 1 << 30 },
    );

    let work = tempfile::tempdir().unwrap();
    let (library, program) = (path_of("library"), path_of("program"));
    std::fs::write(work.path().join("library"), vec![b'x'; 3_000_000]).unwrap();
    std::fs::create_dir(work.path().join("program")).unwrap();
    std::fs::write(work.path().join("program/needs"), StoreDir::nix().path(&library)).unwrap();
    publish(&server, &publisher, &library, &work.path().join("library"), &[]).await;
    publish(&server, &publisher, &program, &work.path().join("program"), std::slice::from_ref(&library)).await;
    let wanted = StoreDir::nix().path(&program);

    let another = SecretKey::generate("farm-1").unwrap().public().to_string();
    let refused = work.path().join("refused");
    let Some(output) = realise(&refused, &server, &another, &wanted) else {
        eprintln!("SKIPPED: nix-store is not on this machine");
        return;
    };
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "accepted under a wrong key: {words}");
    assert!(words.contains("sign"), "refused, but not for its signature: {words}");

    let accepted = work.path().join("accepted");
    let output = realise(&accepted, &server, &key.public().to_string(), &wanted).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let store = accepted.join("store/nix/store");
    assert_eq!(std::fs::read_to_string(store.join(program.to_string()).join("needs")).unwrap(), StoreDir::nix().path(&library));
    assert_eq!(std::fs::read(store.join(library.to_string())).unwrap().len(), 3_000_000);
}
