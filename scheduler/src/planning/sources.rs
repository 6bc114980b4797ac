//! The sources that came with a submission: those that are needed and that nobody has yet.

use std::collections::{BTreeMap, BTreeSet};

use drover_bucket::{Bucket, Corner};
use drover_messages::request::{SourceManifest, SourceNar, Submit};
use drover_messages::{Format, decode};
use drover_scheduler_core::Submission;
use drover_store::StorePath;

use super::NotNow;

/// The largest manifest, in bytes: the limit of a message.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Of the sources that are `needed`, and what they refer to, those that came along and that nobody has. What one refers
/// to comes before it. A source that neither came nor is had refuses the submission: its builds would wait for ever.
pub(super) async fn wanted(
    bucket: &Bucket,
    submission: &Submission,
    submit: &Submit,
    needed: BTreeSet<StorePath>,
    available: &(impl Fn(&StorePath) -> bool + Sync),
) -> Result<Vec<SourceNar>, NotNow> {
    let mut came: BTreeMap<StorePath, SourceNar> =
        read(bucket, submission, submit).await?.into_iter().map(|source| (source.path.clone(), source)).collect();
    let mut ordered = Vec::new();
    let mut stack: Vec<(StorePath, bool)> = needed.into_iter().rev().map(|path| (path, false)).collect();
    let mut seen = BTreeSet::new();
    while let Some((path, entered)) = stack.pop() {
        if entered {
            ordered.extend(came.remove(&path));
        } else if !available(&path) && seen.insert(path.clone()) {
            let source = came
                .get(&path)
                .ok_or_else(|| NotNow::Never(format!("the source {path} neither came along nor is available: submit again")))?;
            let others: Vec<_> = source.references.iter().filter(|other| **other != path).cloned().collect();
            stack.push((path, true));
            stack.extend(others.into_iter().map(|other| (other, false)));
        }
    }
    Ok(ordered)
}

async fn read(bucket: &Bucket, submission: &Submission, submit: &Submit) -> Result<Vec<SourceNar>, NotNow> {
    let mut sources = Vec::new();
    for key in &submit.sources {
        sources.extend(read_one(bucket, submission, key).await?);
    }
    Ok(sources)
}

/// Reads one list.
async fn read_one(bucket: &Bucket, submission: &Submission, key: &str) -> Result<Vec<SourceNar>, NotNow> {
    let never = |error: &dyn std::fmt::Display| NotNow::Never(format!("the list of sources: {error}"));
    let corner = Corner::Submission(submission.client, submission.id);
    let key = corner.claim(key).map_err(|error| never(&error))?;
    let bytes = bucket.get(&key, MAX_MANIFEST_BYTES).await.map_err(|error| NotNow::of_bucket("the list of sources", &error))?;
    let manifest: SourceManifest = decode(&bytes, Format::MessagePack).map_err(|error| never(&error))?;
    for source in &manifest.sources {
        corner.claim(&source.nar.key).map_err(|error| never(&error))?;
    }
    Ok(manifest.sources)
}
