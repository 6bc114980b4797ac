//! `drover build` on a machine with Guix: the whole closure of a package goes out from a real store, looked up at a real
//! guix-daemon. Needs root and a Debian root with Guix (setup/install --with-guix).

#![allow(clippy::unwrap_used)] // Also in what the tests share.

mod ground;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use drover_bucket::{Bucket, Key};
use drover_messages::request::{SourceManifest, SourceNar, Submit};
use drover_messages::{Format, decode};
use drover_store::{ContentAddress, Derivation, Pack, Sha256, StoreDir};
use ground::{Ground, words};

/// Larger than any object of this test, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// A guix-daemon with a store of its own, removed at the end.
struct Guix(tempfile::TempDir);

impl Guix {
    /// `None`, said aloud, where there can be none.
    fn new() -> Option<Self> {
        let guix = Self(tempfile::tempdir().unwrap());
        let start = ["cli-tests", "61000", "--no-substitutes", "--discover=no"];
        let started = guix.script("start").args(start).stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
        let why = String::from_utf8_lossy(&started.stderr);
        if started.status.code() == Some(77) {
            eprintln!("SKIPPED: {why}");
            return None;
        }
        assert!(started.status.success(), "{why}");
        Some(guix)
    }

    fn script_path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/guix-daemon")
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new(Self::script_path());
        command.arg(verb).arg(self.0.path());
        command
    }

    /// The derivation of a package, with its whole closure in the store.
    fn derivation_of(&self, package: &str) -> String {
        self.said(&["build", "--no-grafts", "--no-substitutes", "-d", package])
    }

    /// What a program of Guile with a connection to the daemon, `store`, prints.
    fn evaluate(&self, program: &str) -> String {
        let file = self.0.path().join("program.scm");
        std::fs::write(&file, format!("(use-modules (guix))\n(with-store store {program})\n")).unwrap();
        self.said(&["repl", "--", file.to_str().unwrap()])
    }

    fn said(&self, args: &[&str]) -> String {
        let output = self.script("guix").args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Guix {
    fn drop(&mut self) {
        let _ = self.script("remove").status();
    }
}

/// Submits it from that machine.
async fn submitted(ground: &Ground, guix: &Guix, drv: &str) -> Submit {
    let script = Guix::script_path();
    let through = [script.to_str().unwrap(), "exec", guix.0.path().to_str().unwrap()];
    let output = ground.drover_in(&through, &["build", drv]).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output).1);
    ground.came(1).await[0].clone()
}

async fn sources(bucket: &Bucket, submit: &Submit) -> Vec<SourceNar> {
    let mut sources = Vec::new();
    for key in &submit.sources {
        let bytes = bucket.get(&key.parse().unwrap(), MAX_BYTES).await.unwrap();
        sources.extend(decode::<SourceManifest>(&bytes, Format::MessagePack).unwrap().sources);
    }
    sources
}

#[tokio::test]
async fn the_closure_of_hello_is_sent_whole_and_every_name_follows_from_what_is_sent() {
    let Some(ground) = Ground::new().await else { return };
    let Some(guix) = Guix::new() else { return };
    let submit = submitted(&ground, &guix, &guix.derivation_of("hello")).await;
    assert_eq!(submit.store_dir, StoreDir::guix());
    let bucket = Bucket::open(&ground.bucket_url()).unwrap();
    assert_eq!(submit.packs.len(), 1);
    let pack = Pack::open(bucket.get(&Key::Pack(submit.packs[0]), MAX_BYTES).await.unwrap()).unwrap();
    let sources = sources(&bucket, &submit).await;
    let (drvs, paths) =
        (pack.names().collect::<BTreeSet<_>>(), sources.iter().map(|source| &source.path).collect::<BTreeSet<_>>());
    assert!(drvs.len() > 200 && paths.len() > 100, "{} derivations, {} sources", drvs.len(), paths.len());
    for entry in pack.iter() {
        let (drv, text) = entry.unwrap();
        let derivation = Derivation::parse(&StoreDir::guix(), &text).unwrap();
        assert!(derivation.input_drvs.keys().all(|input| drvs.contains(input)), "{drv}");
        assert!(derivation.input_srcs.iter().all(|source| paths.contains(source)), "{drv}");
    }
    for source in &sources {
        let references = source.references.iter().cloned().collect();
        assert!(source.ca.is_of(&StoreDir::guix(), &source.path, &references), "{source:?}");
        let object = bucket.get(&source.nar.key.parse().unwrap(), MAX_BYTES).await.unwrap();
        assert_eq!(Sha256::of(&object), source.nar.file_hash, "{}", source.path);
    }
}

/// A derivation whose source refers to another, a program to a file beside it.
const REFERRING: &str = r#"
  (let* ((data (add-text-to-store store "data" "1 2 3" '()))
         (program (add-text-to-store store "program" (string-append "cat " data) (list data)))
         (drv (derivation store "total" program '() #:sources (list program) #:system "x86_64-linux")))
    (display (derivation-file-name drv)))"#;

#[tokio::test]
async fn a_source_brings_along_what_it_refers_to() {
    let Some(ground) = Ground::new().await else { return };
    let Some(guix) = Guix::new() else { return };
    let submit = submitted(&ground, &guix, &guix.evaluate(REFERRING)).await;
    let sources = sources(&Bucket::open(&ground.bucket_url()).unwrap(), &submit).await;
    let named = |name: &str| sources.iter().find(|source| source.path.name() == name).unwrap();
    assert_eq!(sources.len(), 2);
    assert_eq!(named("program").references, [named("data").path.clone()]);
    assert!(matches!(named("program").ca, ContentAddress::Text(_)));
}
