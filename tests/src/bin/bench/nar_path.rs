//! The way of one output to the bucket, as the agent goes it: dumped, hashed, compressed, hashed again, put into a folder.
//! Beside it `nix-store --dump` into `sha256sum`, and into `zstd -3`, each of which does a part of that.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use drover_agent::dump::dump_to;
use drover_bucket::{Bucket, Key, Put};
use drover_messages::{AgentId, AttemptId};
use drover_store::StorePath;
use drover_store::nar::{HashingWriter, NarSummary, dump};
use tempfile::TempDir;

use crate::rounds::{Figure, Rounds};

/// What is copied from for a tree with files of all sizes.
const SAMPLES: [&str; 3] = ["/usr/lib", "/usr/share", "/usr/bin"];
/// Bytes of files in the tree.
const TREE_BYTES: u64 = 1 << 30;

/// Our time over that of the slower pipe.
pub(crate) async fn measure(rounds: usize) -> Vec<Figure> {
    if let Some(tool) = ["nix-store", "zstd", "sha256sum"].into_iter().find(|tool| !is_there(tool)) {
        println!("SKIPPED: the nar path is measured beside {tool}, which is missing");
        return Vec::new();
    }
    let folder = tempfile::tempdir_in("/tmp").expect("a folder");
    let tree = Tree::plant(&folder);
    println!("nar of {} MiB, {} files and folders", tree.nar.size >> 20, tree.nodes);
    let mut times = Rounds::of(["ours", "nix-store --dump | sha256sum", "nix-store --dump | zstd -3"]);
    for _ in 0..rounds.max(1) {
        times.add([ours(&folder, &tree).await, pipe(&tree.path, "sha256sum"), pipe(&tree.path, "zstd -3 -c")]);
    }
    let [ours, hashing, compressing] = times.medians();
    vec![Figure::ratio("nar_path", ours, hashing.max(compressing))]
}

fn is_there(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What is to be dumped.
struct Tree {
    path: PathBuf,
    nodes: u64,
    nar: NarSummary,
}

impl Tree {
    /// Copies of this machine's own files, in the order of their names, and in memory when it returns.
    fn plant(folder: &TempDir) -> Self {
        let path = folder.path().join("tree");
        let mut planter = Planter { bytes_left: 0, nodes: 0 };
        std::fs::create_dir(&path).expect("a folder");
        for sample in SAMPLES {
            planter.bytes_left += TREE_BYTES / SAMPLES.len() as u64;
            planter.copy(Path::new(sample), &path.join(sample.replace('/', "-")));
        }
        let mut nar = HashingWriter::new(std::io::sink());
        dump(&path, &mut nar).expect("the tree can be dumped");
        Self { path, nodes: planter.nodes, nar: nar.finish().1 }
    }
}

struct Planter {
    bytes_left: u64,
    nodes: u64,
}

impl Planter {
    fn copy(&mut self, from: &Path, to: &Path) {
        let Ok(meta) = from.symlink_metadata() else { return };
        if self.bytes_left == 0 {
            return;
        }
        self.nodes += 1;
        if meta.is_dir() {
            std::fs::create_dir(to).expect("a folder");
            let mut entries: Vec<_> =
                std::fs::read_dir(from).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
            entries.sort();
            for entry in entries {
                self.copy(&from.join(&entry), &to.join(&entry));
            }
        } else if meta.is_file() {
            self.bytes_left = self.bytes_left.saturating_sub(std::fs::copy(from, to).expect("a copy"));
        }
    }
}

async fn ours(folder: &TempDir, tree: &Tree) -> Duration {
    let bucket = folder.path().join("bucket");
    let start = Instant::now();
    let opened = Bucket::open(&format!("file://{}", bucket.display())).expect("a bucket");
    let item: StorePath = "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-tree".parse().expect("a path");
    let key = Key::OutputIncoming { agent: AgentId::new(), attempt: AttemptId::new(), upload: 0, item: (&item).into() };
    let (dumped, put) = dump_to(&opened, &key, &tree.path, Some(tree.nar)).await.expect("it is uploaded");
    let took = start.elapsed();
    let size = std::fs::metadata(bucket.join(key.to_string())).expect("the object").len();
    assert_eq!((put, dumped.file.size), (Put::Created, size));
    std::fs::remove_dir_all(bucket).expect("the bucket can be deleted");
    took
}

fn pipe(tree: &Path, into: &str) -> Duration {
    let start = Instant::now();
    let script = format!("set -o pipefail; nix-store --dump \"$1\" | {into} >/dev/null");
    let status = Command::new("bash").args(["-c", &script, "pipe"]).arg(tree).status().expect("bash");
    assert!(status.success(), "{into}");
    start.elapsed()
}
