//! Nars as they come, and as they should not.

use std::io;
use std::time::Duration;

use drover_store::StoreDir;
use drover_store::nar::{NarError, NarFault, restore};
use drover_substituter::SubstituterError;

use crate::site::{Answer, Site, file_nar, narinfo, pack};

fn content() -> Vec<u8> {
    (0..300_000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect()
}

#[tokio::test]
async fn nars_come_out_whole_however_they_are_packed() {
    let (site, folder) = (Site::of(&StoreDir::nix()), tempfile::tempdir().unwrap());
    let nar = file_nar(&content());
    let ways = ["none", "zstd", "gzip", "lzip", "xz"];
    for way in ways {
        site.put(&format!("nar/{way}/x"), pack(way, &nar));
    }
    for server in [site.serve().await, site.write(folder.path())] {
        for way in ways {
            let info = narinfo("x", &nar, &format!("nar/{way}/x"), way);
            assert!(server.file(&info, 1 << 20).await.unwrap() == content(), "{way} from {}", server.url());
            let unpacked = tempfile::tempdir().unwrap();
            let to = unpacked.path().join("x");
            let size = server.nar(&info, move |mut nar| restore(&mut nar, &to)).await.unwrap();
            assert_eq!(size, nar.len() as u64);
            assert!(std::fs::read(unpacked.path().join("x")).unwrap() == content(), "{way} from {}", server.url());
        }
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_read_as_far_as_was_promised() {
    let site = Site::of(&StoreDir::nix());
    let nar = file_nar(b"content");
    site.say("nar/x", [Answer::Endless([&nar[..], b"more"].concat())]);
    let info = narinfo("x", &nar, "nar/x", "none");
    let server = site.serve().await;
    let file = tokio::time::timeout(Duration::from_secs(10), server.file(&info, 100)).await;
    assert_eq!(file.expect("it waits for more").unwrap(), b"content");
}

#[tokio::test]
async fn a_nar_that_breaks_off_is_fetched_again() {
    let site = Site::of(&StoreDir::nix());
    let nar = file_nar(&content());
    let packed = pack("zstd", &nar);
    site.say("nar/x", [Answer::CutOff(packed[..packed.len() / 2].to_vec()), Answer::Bytes(packed)]);
    let info = narinfo("x", &nar, "nar/x", "zstd");
    let server = site.serve().await;
    assert!(server.file(&info, 1 << 20).await.unwrap() == content());
    assert_eq!(site.asked("nar/x"), 2);
    site.say("nar/x", [Answer::CutOff(b"half".to_vec())]);
    assert!(server.file(&info, 1 << 20).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_nar_that_is_not_what_was_promised_is_broken() {
    let (nar, other) = (file_nar(b"content"), file_nar(b"CONTENT"));
    let site = Site::of(&StoreDir::nix());
    let server = site.serve().await;
    let info = narinfo("x", &nar, "nar/x", "zstd");
    for bad in [pack("zstd", &other), pack("zstd", &nar[..50]), pack("gzip", &nar), Vec::new()] {
        site.put("nar/x", bad);
        let error = server.file(&info, 100).await.unwrap_err();
        assert!(matches!(error, SubstituterError::Broken { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_nar_that_is_gone_is_absent_and_an_unknown_packing_is_broken() {
    let server = Site::of(&StoreDir::nix()).serve().await;
    let fetch = async |way| server.file(&narinfo("x", &file_nar(b"content"), "nar/x", way), 100).await.unwrap_err();
    assert!(matches!(fetch("zstd").await, SubstituterError::Absent { .. }));
    assert!(matches!(fetch("rar").await, SubstituterError::Broken { .. }));
}

#[tokio::test]
async fn a_disk_that_is_full_is_not_the_servers_fault() {
    let site = Site::of(&StoreDir::nix());
    let nar = file_nar(b"content");
    site.put("nar/x", &nar);
    let full =
        |_: &mut dyn io::Read| Err::<(), _>(NarError { at: 0, fault: NarFault::Io(io::Error::from(io::ErrorKind::StorageFull)) });
    let error = site.serve().await.nar(&narinfo("x", &nar, "nar/x", "none"), full).await.unwrap_err();
    assert!(matches!(error, SubstituterError::Local { .. }), "{error}");
}

#[tokio::test]
async fn only_a_plain_file_of_the_allowed_size_is_a_file() {
    let site = Site::of(&StoreDir::nix());
    let server = site.serve().await;
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("target", folder.path().join("link")).unwrap();
    let mut link = Vec::new();
    drover_store::nar::dump(&folder.path().join("link"), &mut link).unwrap();
    for (nar, max_bytes) in [(link, 1 << 20), (file_nar(&content()), 1000)] {
        site.put("nar/x", &nar);
        let error = server.file(&narinfo("x", &nar, "nar/x", "none"), max_bytes).await.unwrap_err();
        assert!(matches!(error, SubstituterError::Broken { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_folder_gives_nothing_from_outside() {
    let outside = tempfile::tempdir().unwrap();
    let nar = file_nar(b"content");
    std::fs::write(outside.path().join("secret"), &nar).unwrap();
    let folder = outside.path().join("cache");
    let server = Site::of(&StoreDir::nix()).write(&folder);
    for url in ["../secret", outside.path().join("secret").to_str().unwrap()] {
        let error = server.file(&narinfo("x", &nar, url, "none"), 100).await.unwrap_err();
        assert!(matches!(error, SubstituterError::Broken { .. }), "{error}");
    }
}
