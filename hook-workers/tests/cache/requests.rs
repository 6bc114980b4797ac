//! Plain requests.

use bytes::Bytes;
use drover_bucket::{Compression, HashPart, Key};
use drover_messages::{AgentId, AttemptId, Generation};
use drover_store::{SecretKey, Sha256, StoreDir};

use crate::http::CacheServer;

const ITEM: &str = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy";

fn item() -> HashPart {
    ITEM.parse().unwrap()
}

fn server() -> (CacheServer, String) {
    let key = SecretKey::generate("farm-1").unwrap().public().to_string();
    (CacheServer::start(&key), key)
}

async fn put(server: &CacheServer, key: Key, bytes: impl Into<Bytes>) -> String {
    server.bucket.put_once(&key, bytes.into()).await.unwrap();
    key.to_string()
}

#[tokio::test]
async fn each_kind_of_object_is_served_as_what_it_is() {
    let (server, _) = server();
    let nar = Key::Nar { store_dir: StoreDir::nix(), file_hash: Sha256::of(b""), compression: Compression::Zstd };
    let cases = [
        (Key::CacheInfo(StoreDir::nix()), "/nix-store/nix-cache-info", "text/x-nix-cache-info", "public, max-age=60"),
        (
            Key::NarInfo(StoreDir::nix(), item()),
            &format!("/nix-store/{ITEM}.narinfo"),
            "text/x-nix-narinfo",
            "public, max-age=60",
        ),
        (Key::PublicKeys(StoreDir::nix()), "/nix-store/signing-key.pub", "text/plain; charset=utf-8", "public, max-age=60"),
        (Key::PublicKeys(StoreDir::guix()), "/gnu-store/signing-key.pub", "text/plain; charset=utf-8", "public, max-age=60"),
        (nar.clone(), &nar.to_string()["cache".len()..], "application/x-nix-nar", "public, max-age=31536000, immutable"),
    ];
    for (key, path, content_type, cache_control) in cases {
        put(&server, key, path.to_owned()).await;
        for method in ["GET", "HEAD"] {
            let answer = server.request(method, path, &[]);
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("content-type"), Some(content_type));
            assert_eq!(answer.header("cache-control"), Some(cache_control));
            assert_eq!(answer.header("content-length"), Some(path.len().to_string().as_str()));
            assert_eq!(answer.text(), if method == "GET" { path } else { "" });
        }
    }
}

#[tokio::test]
async fn what_is_not_there_yet_may_not_be_remembered_as_absent() {
    let (server, _) = server();
    let path = format!("/nix-store/{ITEM}.narinfo");
    for method in ["GET", "HEAD"] {
        let answer = server.request(method, &path, &[]);
        assert_eq!((answer.status, answer.header("cache-control")), (404, Some("no-store, max-age=0")));
    }
    put(&server, Key::NarInfo(StoreDir::nix(), item()), "here now").await;
    assert_eq!(server.get(&path).text(), "here now");
}

#[tokio::test]
async fn nothing_but_the_cache_is_served() {
    let (server, _) = server();
    let (agent, attempt) = (AgentId::new(), AttemptId::new());
    let incoming = put(&server, Key::OutputIncoming { agent, attempt, upload: 0, item: item() }, "unverified").await;
    let generation = put(&server, Key::Generation(Generation(1)), "").await;
    put(&server, Key::CacheInfo(StoreDir::nix()), "info").await;
    let probe = put(&server, Key::Probe(StoreDir::nix()), "probe").await;
    let drv = format!("{ITEM}-x.drv").parse().unwrap();
    let log = put(&server, Key::PublicLog(StoreDir::nix(), drv), "packed words").await;
    let elsewhere = [
        probe["cache".len()..].to_owned(),
        log["cache".len()..].to_owned(),
        format!("/{incoming}"),
        format!("/../{incoming}"),
        format!("/nix-store/../../{incoming}"),
        format!("/nix-store/..%2f..%2f{incoming}"),
        format!("/%2e%2e/{generation}"),
        format!("/{generation}"),
        "//nix-store/nix-cache-info".into(),
        "/nix-store//nix-cache-info".into(),
        "/nix-store/./nix-cache-info".into(),
        "/nix-store/nix-cache-info/".into(),
        "/nix-store/".into(),
        "/nix-store/nar/".into(),
        "/etc/passwd".into(),
        "/../../../../../../etc/passwd".into(),
        format!("/{}", "a".repeat(5000)),
    ];
    for path in elsewhere {
        let answer = server.get(&path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn nobody_can_write() {
    let (server, _) = server();
    put(&server, Key::CacheInfo(StoreDir::nix()), "info").await;
    for method in ["PUT", "POST", "DELETE", "PATCH"] {
        assert_eq!(server.request(method, "/nix-store/nix-cache-info", &["Content-Length: 0"]).status, 405, "{method}");
    }
}

#[tokio::test]
async fn an_interrupted_download_can_go_on() {
    let (server, _) = server();
    let nar = Key::Nar { store_dir: StoreDir::nix(), file_hash: Sha256::of(b""), compression: Compression::Zstd };
    let path = put(&server, nar, "0123456789").await["cache".len()..].to_owned();
    let part = server.request("GET", &path, &["Range: bytes=4-"]);
    assert_eq!((part.status, part.text()), (206, "456789"));
    assert_eq!(part.header("content-range"), Some("bytes 4-9/10"));
    assert_eq!(part.header("content-length"), Some("6"));
    let beyond = server.request("GET", &path, &["Range: bytes=10-"]);
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */10")));
}

#[tokio::test]
async fn a_large_nar_comes_whole() {
    let (server, _) = server();
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let nar = Key::Nar { store_dir: StoreDir::nix(), file_hash: Sha256::of(b""), compression: Compression::None };
    let path = put(&server, nar, bytes.clone()).await["cache".len()..].to_owned();
    assert!(server.get(&path).body == bytes);
}

#[tokio::test]
async fn the_key_of_guix_is_where_guix_has_it() {
    let (server, _) = server();
    assert_eq!(server.get("/signing-key.pub").status, 404);
    put(&server, Key::PublicKeys(StoreDir::guix()), "(public-key)").await;
    assert_eq!(server.get("/signing-key.pub").text(), "(public-key)");
}

#[tokio::test]
async fn people_find_out_what_this_is_and_its_key() {
    let (server, key) = server();
    let page = server.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().contains(&key) && page.text().contains("build farm"), "{}", page.text());
    assert_eq!(server.get("/healthz").text(), "ok\n");
}
