//! A real Guix fetches from the cache what `publish` put there, however it is compressed: with the key authorised, and not
//! without.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use drover_hook_workers::publish::{Keys, Limits, Packing, Publisher};
use drover_messages::publish::{Publish, PublishVerdict};
use drover_store::{StoreDir, StorePath, guix};

use crate::common::{dump, output, path_of};
use crate::http::CacheServer;

/// What `demo/guix-daemon` ends with where there is no Guix.
const IMPOSSIBLE: i32 = 77;
/// Of build users that exist only in there.
const UID_BASE: &str = "879061504";

/// A machine of its own with an empty store, as far as Guix can see.
struct Machine {
    folder: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Machine {
    /// `None`, aloud, where there cannot be one.
    fn start() -> Option<Self> {
        let temporary = tempfile::tempdir().unwrap();
        let machine = Self { folder: temporary.path().join("guix"), _temporary: temporary };
        let started = script().arg("start").arg(&machine.folder).args(["cache-test", UID_BASE]).output().unwrap();
        let words = String::from_utf8_lossy(&started.stderr);
        match started.status.code() {
            Some(0) => Some(machine),
            Some(IMPOSSIBLE) => {
                eprintln!("SKIPPED: {words}");
                None
            }
            _ => panic!("{words}"),
        }
    }

    fn guix(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = script()
            .arg("guix")
            .arg(&self.folder)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What there is of a path in its store, afterwards.
    fn fetch(&self, server: &CacheServer, path: &StorePath) -> (Option<PathBuf>, String) {
        let url = format!("--substitute-urls=http://{}/gnu-store", server.address);
        let output = self.guix(&["build", &url, &StoreDir::guix().path(path)], "");
        let there = self.folder.join("gnu/store").join(path.to_string());
        (there.exists().then_some(there), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = script().arg("remove").arg(&self.folder).status();
    }
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/guix-daemon"))
}

async fn publish(
    server: &CacheServer,
    key: &guix::SecretKey,
    way: &str,
    path: &StorePath,
    tree: &Path,
    references: &[StorePath],
) {
    let (keys, packing) = (Keys::new(Vec::new(), Some(key.clone())), Packing::new([Packing::parse(way).unwrap()]));
    let publisher = Publisher::new(server.bucket.clone(), keys, packing, Limits { max_nar_bytes: 1 << 30 });
    let request = output(&server.bucket, path, &dump(tree), references, references).await;
    let request = Publish { store_dir: StoreDir::guix(), ..request };
    assert_eq!(publisher.publish(&request).await.unwrap(), PublishVerdict::Published);
}

#[tokio::test]
async fn guix_fetches_what_was_published_and_believes_authorised_keys_only() {
    let Some(machine) = Machine::start() else { return };
    let server = CacheServer::start("farm-1:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    let key = guix::SecretKey::generate();
    let work = tempfile::tempdir().unwrap();
    let contents: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(n) >> 11) as u8).collect();
    let ways = ["zstd", "lzip", "gzip"].map(|way| (way, path_of(&format!("library-{way}"))));
    for (way, path) in &ways {
        std::fs::write(work.path().join(way), [way.as_bytes(), &contents].concat()).unwrap();
        publish(&server, &key, way, path, &work.path().join(way), &[]).await;
    }
    let (program, libraries) = (path_of("program"), ways.clone().map(|(_, path)| path));
    std::fs::write(work.path().join("needs"), libraries.clone().map(|path| StoreDir::guix().path(&path)).join("\n")).unwrap();
    publish(&server, &key, "zstd", &program, &work.path().join("needs"), &libraries).await;

    let (there, words) = machine.fetch(&server, &program);
    assert!(there.is_none(), "accepted under a key that nobody authorised: {words}");

    let public = server.get("/signing-key.pub");
    let authorised = machine.guix(&["archive", "--authorize"], public.text());
    assert!(authorised.status.success(), "{}", String::from_utf8_lossy(&authorised.stderr));
    let (there, words) = machine.fetch(&server, &program);
    assert!(there.is_some(), "{words}");
    for (way, path) in ways {
        let fetched = std::fs::read(machine.folder.join("gnu/store").join(path.to_string())).unwrap();
        assert!(fetched == [way.as_bytes(), &contents].concat(), "{way}");
    }
    let verified = machine.guix(&["gc", "--verify=contents"], "");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
