//! The sources that the farm lacks, with all that they refer to, as the store daemon of this machine knows them, or a
//! server elsewhere.

use std::collections::BTreeSet;

use drover_daemon::{Connection as Daemon, DaemonConfig, PathInfo, StoreDaemon};
use drover_store::{ContentAddress, StorePath};
use futures::{StreamExt, TryStreamExt, stream};

use super::items::Items;
use super::lacking::lacking;
use crate::ask::Connection;
use crate::exit::bad_input;

/// The most sources of one submission.
const MAX_SOURCES: usize = 1 << 16;
/// Sources that are looked up elsewhere at once.
const LOOKED_UP_AT_ONCE: usize = 16;

/// A source, as whoever has it describes it.
#[derive(Debug)]
pub(crate) struct Source {
    /// Which.
    pub(crate) path: StorePath,
    /// What it refers to, itself included.
    pub(crate) references: BTreeSet<StorePath>,
    /// What gives it its name, if that is known. It is not believed.
    pub(crate) ca: Option<ContentAddress>,
}

/// Looks up the lacking sources, and what they refer to where the farm lacks that as well.
pub(crate) async fn look_up(
    connection: &Connection,
    items: &Items,
    daemon: DaemonConfig,
    mut lacking_now: BTreeSet<StorePath>,
) -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    if lacking_now.is_empty() {
        return Ok(found);
    }
    let mut daemon = connect(&daemon, items).await?;
    let mut known = lacking_now.clone();
    while !lacking_now.is_empty() {
        let sources = look_up_all(&mut daemon, items, lacking_now).await?;
        let named = sources.iter().flat_map(|source| &source.references);
        let new: BTreeSet<StorePath> = named.filter(|path| !known.contains(*path)).cloned().collect();
        found.extend(sources);
        known.extend(new.iter().cloned());
        if known.len() > MAX_SOURCES {
            return Err(bad_input(format!("the closure has more than {MAX_SOURCES} sources")));
        }
        lacking_now = lacking(connection, items.store_dir(), &BTreeSet::new(), &new).await.sources;
    }
    Ok(found)
}

/// Without a daemon, servers elsewhere may know the sources.
async fn connect(config: &DaemonConfig, items: &Items) -> anyhow::Result<Option<Daemon>> {
    match Daemon::connect(config).await {
        Ok(daemon) => Ok(Some(daemon)),
        Err(error) if items.has_elsewhere() => {
            tracing::info!(%error, "no store daemon here: all sources are looked for elsewhere");
            Ok(None)
        }
        Err(error) => Err(bad_input(format!(
            "the farm lacks sources of this build, and only a store daemon knows what they refer to: {error}. \
             Name its socket by --daemon-socket"
        ))),
    }
}

async fn look_up_all(daemon: &mut Option<Daemon>, items: &Items, paths: BTreeSet<StorePath>) -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut elsewhere = Vec::new();
    for path in paths {
        match in_store(daemon, &path).await? {
            Some(source) => found.push(source),
            None => elsewhere.push(path),
        }
    }
    let others = stream::iter(elsewhere).map(|path| beyond(items, path)).buffer_unordered(LOOKED_UP_AT_ONCE);
    found.extend(others.try_collect::<Vec<_>>().await?);
    Ok(found)
}

async fn in_store(daemon: &mut Option<Daemon>, path: &StorePath) -> anyhow::Result<Option<Source>> {
    let Some(daemon) = daemon else { return Ok(None) };
    let source = |info: PathInfo| Source { path: path.clone(), references: info.references, ca: info.content_address };
    Ok(daemon.path_info(path).await?.map(source))
}

async fn beyond(items: &Items, path: StorePath) -> anyhow::Result<Source> {
    items.source(&path).await?.ok_or_else(|| {
        bad_input(format!(
            "the source {} is neither on the farm nor in the store of this machine: evaluate again, or copy it here",
            items.store_dir().path(&path)
        ))
    })
}
