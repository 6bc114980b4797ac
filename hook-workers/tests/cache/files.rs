//! Files by their own hashes, as Guix asks for sources.

use bytes::Bytes;
use drover_bucket::{Compression, Key};
use drover_store::{ContentAddress, Digest, FixedHash, HashAlgo, NarFile, NarInfo, Sha256, StoreDir, StorePath};
use sha2::Digest as _;

use crate::common::{directory, file};
use crate::http::CacheServer;

fn path_of(name: &str, algo: HashAlgo, digest: &[u8]) -> StorePath {
    let fixed = FixedHash { recursive: false, digest: Digest::new(algo, digest).unwrap() };
    ContentAddress::Fixed(fixed).path_of(&StoreDir::guix(), name, &Default::default()).unwrap()
}

/// Puts an item, packed as Zstandard and not at all; the second only if `both`.
async fn put(server: &CacheServer, path: &StorePath, nar: &[u8], both: bool) {
    let store = StoreDir::guix();
    let mut files = Vec::new();
    let packed = Bytes::from(zstd::encode_all(nar, 3).unwrap());
    let ways = [(Compression::None, Bytes::copy_from_slice(nar)), (Compression::Zstd, packed)];
    for (compression, object) in ways.into_iter().skip(usize::from(!both)) {
        let key = Key::Nar { store_dir: store.clone(), file_hash: Sha256::of(&object), compression };
        files.push(NarFile {
            url: key.to_string()["cache/gnu-store/".len()..].to_owned(),
            compression: compression.name().into(),
            file_hash: None,
            file_size: Some(object.len() as u64),
        });
        let mut upload = server.bucket.upload(&key);
        upload.write(object).await.unwrap();
        upload.finish().await.unwrap();
    }
    let narinfo = NarInfo {
        store_path: path.clone(),
        files,
        nar_hash: Sha256::of(nar),
        nar_size: nar.len() as u64,
        references: Vec::new(),
        deriver: None,
        system: None,
        sigs: Vec::new(),
        signature: None,
        ca: None,
    };
    server.bucket.put(&Key::NarInfo(store.clone(), path.into()), narinfo.write(&store).into()).await.unwrap();
}

#[tokio::test]
async fn a_file_comes_unpacked_by_any_spelling_of_its_hash() {
    let server = CacheServer::start("farm-1:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    let contents = [b"small".to_vec(), (0..3_000_000u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect()];
    for (n, content) in contents.into_iter().enumerate() {
        let (name, hash) = (format!("tar+ball-{n}.tar.gz"), Sha256::of(&content));
        put(&server, &path_of(&name, HashAlgo::Sha256, hash.as_bytes()), &file(&content), n == 1).await;
        for spelling in [hash.to_nix32(), hash.to_hex()] {
            for name in [name.clone(), name.replace('+', "%2B")] {
                let address = format!("/gnu-store/file/{name}/sha256/{spelling}");
                let answer = server.get(&address);
                assert_eq!((answer.status, answer.header("content-length")), (200, Some(content.len().to_string().as_str())));
                assert!(answer.body == content, "{address}");
                assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
                let head = server.request("HEAD", &address, &[]);
                assert_eq!((head.status, head.body.len()), (200, 0));
                assert_eq!(head.header("content-length"), answer.header("content-length"));
            }
        }
    }
}

#[tokio::test]
async fn other_algorithms_are_known_too() {
    let server = CacheServer::start("farm-1:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    let digest = sha2::Sha512::digest(b"content");
    put(&server, &path_of("source", HashAlgo::Sha512, &digest), &file("content"), false).await;
    let hash = Digest::new(HashAlgo::Sha512, &digest).unwrap().to_hex();
    assert_eq!(server.get(&format!("/gnu-store/file/source/sha512/{hash}")).text(), "content");
}

#[tokio::test]
async fn what_is_not_there_or_is_no_file_is_not_found() {
    let server = CacheServer::start("farm-1:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    let hash = Sha256::of(b"content");
    // A folder where a file should be: no publisher of ours lets it in.
    put(&server, &path_of("folder", HashAlgo::Sha256, hash.as_bytes()), &directory("content"), false).await;
    let hash = hash.to_nix32();
    let wrong = [
        format!("/gnu-store/file/folder/sha256/{hash}"),
        format!("/gnu-store/file/absent/sha256/{hash}"),
        format!("/nix-store/file/folder/sha256/{hash}"),
        format!("/gnu--/file/folder/sha256/{hash}"),
        format!("/gnu-store/file/folder/sha3/{hash}"),
        "/gnu-store/file/folder/sha256/0".into(),
        format!("/gnu-store/file/..%2f..%2fetc/sha256/{hash}"),
    ];
    for address in wrong {
        let answer = server.get(&address);
        assert_eq!((answer.status, answer.header("cache-control")), (404, Some("no-store, max-age=0")), "{address}");
    }
}
