//! What builders said.

use drover_bucket::Key;
use drover_store::{Sha256, StoreDir};

use crate::common::path_of;
use crate::http::CacheServer;

const WORDS: &str = "compiling\n<script>nothing</script>\n";

async fn server() -> CacheServer {
    let server = CacheServer::start("farm-1:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    let drv = path_of("recipe.drv").try_into().unwrap();
    let log = zstd::encode_all(WORDS.as_bytes(), 3).unwrap();
    server.bucket.put(&Key::PublicLog(StoreDir::guix(), drv), log.into()).await.unwrap();
    server
}

#[tokio::test]
async fn a_log_is_found_by_its_derivation_and_by_what_that_made() {
    let server = server().await;
    let made = path_of("hello");
    let narinfo = format!(
        "StorePath: /gnu/store/{made}\nURL: nar/x\nCompression: zstd\nNarHash: {}\nNarSize: 1\nReferences: \nDeriver: {}\n",
        Sha256::of(b""),
        path_of("recipe.drv")
    );
    server.bucket.put(&Key::NarInfo(StoreDir::guix(), (&made).into()), narinfo.into()).await.unwrap();
    for name in [path_of("recipe.drv"), made] {
        let answer = server.get(&format!("/gnu-store/log/{name}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")), "{name}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(String::from_utf8_lossy(&answer.body).contains(WORDS));
    }
}

#[tokio::test]
async fn whoever_reads_zstandard_gets_it_packed() {
    let server = server().await;
    let address = format!("/gnu-store/log/{}", path_of("recipe.drv"));
    let answer = server.request("GET", &address, &["Accept-Encoding: gzip, zstd"]);
    assert_eq!(answer.header("content-encoding"), Some("zstd"));
    assert!(answer.body.windows(4).any(|window| window == [0x28, 0xb5, 0x2f, 0xfd]), "no frame of Zstandard");
    let head = server.request("HEAD", &address, &[]);
    assert_eq!((head.status, head.header("content-encoding")), (200, None));
}

#[tokio::test]
async fn what_has_no_log_is_not_found() {
    let server = server().await;
    let (other, item) = (path_of("other.drv"), path_of("item"));
    for address in [format!("/gnu-store/log/{other}"), format!("/gnu-store/log/{item}"), "/gnu-store/log/x".into()] {
        assert_eq!(server.get(&address).status, 404, "{address}");
    }
    assert_eq!(server.get(&format!("/nix-store/log/{}", path_of("recipe.drv"))).status, 404);
}
