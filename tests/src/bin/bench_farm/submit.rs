//! A graph, submitted as `drover build` does: packs and lists of sources in the bucket, a small request to the broker.

use std::collections::BTreeMap;
use std::time::Instant;

use drover_bucket::{Bucket, HashPart, Key};
use drover_messages::request::{MAX_SOURCES_OF_MANIFEST, Mode, Nar, Root, SourceManifest, SourceNar, Submit, Terms};
use drover_messages::{BuildId, ClientId, SubmissionId, Timestamp, encode};
use drover_nats::{Bus, Subject};
use drover_store::{ContentAddress, PackId, PackWriter, Sha256, StorePath};

use crate::graph::Graph;

/// A submission whose bytes are in the bucket.
pub struct Prepared {
    client: ClientId,
    submit: Submit,
}

impl Prepared {
    /// Puts everything into the bucket but the sources themselves: the simulated pool does not look at them.
    pub async fn new(bucket: &Bucket, client: ClientId, graph: &Graph, priority: i32) -> anyhow::Result<Self> {
        let submission = SubmissionId::new();
        let roots = graph.roots.iter().map(|drv| Root { build: BuildId::derived(submission, drv), drv: drv.clone() });
        let submit = Submit {
            submission,
            store_dir: graph.store_dir.clone(),
            roots: roots.collect(),
            packs: packs(bucket, graph).await?,
            sources: manifests(bucket, client, submission, graph).await?,
            priority,
            tags: BTreeMap::new(),
            input_builds: true,
            mode: Mode::Build,
            terms: Terms::default(),
            submitted_at: Timestamp::now(),
        };
        Ok(Self { client, submit })
    }

    /// Its id.
    pub fn id(&self) -> SubmissionId {
        self.submit.submission
    }

    /// Publishes the request, and tells when the broker had it.
    pub async fn send(&self, bus: &Bus) -> anyhow::Result<Instant> {
        let subject = Subject::Submit { client: self.client, submission: self.id() };
        bus.publish(&subject, &self.submit, &self.id().to_string()).await?;
        Ok(Instant::now())
    }
}

async fn packs(bucket: &Bucket, graph: &Graph) -> anyhow::Result<Vec<PackId>> {
    let mut packs = Vec::new();
    let mut left = graph.drvs.iter().peekable();
    while left.peek().is_some() {
        let mut writer = PackWriter::new();
        while !writer.is_full()
            && let Some((drv, aterm)) = left.next()
        {
            writer.push(drv, aterm.clone())?;
        }
        let bytes = writer.finish()?;
        let id = PackId::of(&bytes);
        bucket.put_once(&Key::Pack(id), bytes).await?;
        packs.push(id);
    }
    Ok(packs)
}

async fn manifests(bucket: &Bucket, client: ClientId, submission: SubmissionId, graph: &Graph) -> anyhow::Result<Vec<String>> {
    let sources: Vec<SourceNar> = graph.sources.iter().map(|path| source(client, submission, path)).collect();
    let mut keys = Vec::new();
    for (n, sources) in sources.chunks(MAX_SOURCES_OF_MANIFEST).enumerate() {
        let key = Key::SourceManifest { client, submission, n: n as u32 };
        bucket.put_once(&key, encode(&SourceManifest { sources: sources.to_vec() })).await?;
        keys.push(key.to_string());
    }
    Ok(keys)
}

fn source(client: ClientId, submission: SubmissionId, path: &StorePath) -> SourceNar {
    let key = Key::SourceIncoming { client, submission, item: HashPart::from(path) };
    SourceNar { path: path.clone(), ca: ContentAddress::source(Sha256::of(b"")), references: Vec::new(), nar: nar(&key) }
}

/// A nar that nobody looks at.
pub fn nar(key: &Key) -> Nar {
    let hash = Sha256::from_bytes([0; 32]);
    Nar { key: key.to_string(), nar_hash: hash, nar_size: 1, file_hash: hash, file_size: 1 }
}
