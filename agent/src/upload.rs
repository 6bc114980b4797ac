//! The third stage, off the slot: all outputs of a build go to the agent's own corner of the bucket.
//!
//! A bucket or a daemon that is away is waited for; the attempt fails only when the store has lost what was built.

use std::sync::Arc;
use std::time::Instant;

use drover_bucket::{Bucket, Key, Put};
use drover_daemon::{DaemonError, PathInfo};
use drover_messages::report::{Built, Uploaded, UploadedOutput};
use drover_messages::request::Nar;
use drover_messages::{AgentId, AttemptId, Cause};
use drover_store::nar::NarSummary;
use drover_store::{OutputName, StoreDir, StorePath};
use tokio::sync::Semaphore;

use crate::backoff::Backoff;
use crate::daemon_pool::DaemonPool;
use crate::dump::{DumpError, Dumped, dump_to};
use crate::failure::Failure;
use crate::output_roots::{OutputRoots, RootError};

/// Builds whose outputs travel at once.
pub const UPLOADS_AT_ONCE: usize = 4;
/// The most tries of one upload that are looked for: keys are written once, and processes may die.
const MAX_TRIES: u32 = 1000;

/// How outputs go.
#[derive(Debug)]
pub struct Uploads {
    agent: AgentId,
    bucket: Bucket,
    store_dir: StoreDir,
    daemons: Arc<DaemonPool>,
    roots: Arc<OutputRoots>,
    at_once: Semaphore,
}

/// Why one try did not succeed.
enum Trouble {
    /// It passes, or somebody mends it.
    Later(String),
    /// It does not.
    Lost(String),
}

impl Uploads {
    /// From this store to this bucket.
    pub fn new(agent: AgentId, bucket: Bucket, store_dir: StoreDir, daemons: Arc<DaemonPool>, roots: Arc<OutputRoots>) -> Self {
        Self { agent, bucket, store_dir, daemons, roots, at_once: Semaphore::new(UPLOADS_AT_ONCE) }
    }

    /// Uploads everything that was built, under the keys of this try.
    pub async fn upload(&self, attempt: AttemptId, built: &Built, upload_try: u32) -> Result<Uploaded, Failure> {
        let start = Instant::now();
        let mut outputs = Vec::with_capacity(built.outputs.len());
        for (name, path) in &built.outputs {
            let (info, dumped, key) = self.persist(attempt, path, upload_try).await?;
            outputs.push(uploaded(name, info, dumped, &key));
        }
        Ok(Uploaded { outputs, upload_micros: start.elapsed().as_micros() as u64 })
    }

    /// Uploads one output, however long that takes.
    async fn persist(&self, attempt: AttemptId, path: &StorePath, upload_try: u32) -> Result<(PathInfo, Dumped, Key), Failure> {
        let mut backoff = Backoff::default();
        loop {
            match self.upload_once(attempt, path, upload_try).await {
                Ok(done) => return Ok(done),
                Err(Trouble::Lost(why)) => return Err(Failure::new(Cause::UploadFailed, format!("{path}: {why}"))),
                Err(Trouble::Later(why)) => {
                    tracing::warn!(%path, why, "an upload did not succeed; trying again for ever");
                    backoff.wait().await;
                }
            }
        }
    }

    async fn upload_once(
        &self,
        attempt: AttemptId,
        path: &StorePath,
        upload_try: u32,
    ) -> Result<(PathInfo, Dumped, Key), Trouble> {
        // Never closed, so never refused.
        let _permit = self.at_once.acquire().await;
        self.roots.keep(attempt, path).await?;
        let info = self.daemons.path_info(path).await?;
        let info = info.ok_or_else(|| Trouble::Lost("the store does not have it any more".into()))?;
        let expected = NarSummary { sha256: info.nar_hash, size: info.nar_size };
        let file = self.store_dir.path(path);
        for upload in upload_try..upload_try.saturating_add(MAX_TRIES) {
            let key = Key::OutputIncoming { agent: self.agent, attempt, upload, item: path.into() };
            let (dumped, put) = dump_to(&self.bucket, &key, file.as_ref(), Some(expected)).await?;
            // A process that died before it could report put it there: perhaps by another version of zstd.
            if put == Put::Created {
                return Ok((info, dumped, key));
            }
        }
        Err(Trouble::Lost(format!("all of {MAX_TRIES} keys were taken")))
    }
}

impl From<RootError> for Trouble {
    fn from(error: RootError) -> Self {
        Self::Later(crate::cause_of::words(&error))
    }
}

impl From<DaemonError> for Trouble {
    fn from(error: DaemonError) -> Self {
        Self::Later(crate::cause_of::words(&error))
    }
}

impl From<DumpError> for Trouble {
    fn from(error: DumpError) -> Self {
        let words = crate::cause_of::words(&error);
        match error {
            DumpError::Bucket(_) => Self::Later(words),
            DumpError::Item(_) | DumpError::Differs(_) => Self::Lost(words),
        }
    }
}

fn uploaded(name: &OutputName, info: PathInfo, dumped: Dumped, key: &Key) -> UploadedOutput {
    UploadedOutput {
        name: name.clone(),
        path: info.path,
        references: info.references.into_iter().collect(),
        nar: Nar {
            key: key.to_string(),
            nar_hash: dumped.nar.sha256,
            nar_size: dumped.nar.size,
            file_hash: dumped.file.sha256,
            file_size: dumped.file.size,
        },
    }
}
