//! The sources that the farm lacks, with all that they refer to, as the store daemon of this machine knows them.

use std::collections::BTreeSet;

use drover_daemon::{Connection as Daemon, DaemonConfig};
use drover_store::{ContentAddress, StoreDir, StorePath};

use super::lacking::lacking;
use crate::ask::Connection;
use crate::exit::bad_input;

/// The most sources of one submission.
const MAX_SOURCES: usize = 1 << 16;

/// A source in the store of this machine.
#[derive(Debug)]
pub(crate) struct Source {
    /// Which.
    pub(crate) path: StorePath,
    /// What it refers to, itself included.
    pub(crate) references: BTreeSet<StorePath>,
    /// What gives it its name, if the daemon knows.
    pub(crate) ca: Option<ContentAddress>,
}

/// Looks up the lacking sources, and what they refer to where the farm lacks that as well.
pub(crate) async fn look_up(
    connection: &Connection,
    daemon: DaemonConfig,
    mut lacking_now: BTreeSet<StorePath>,
) -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    if lacking_now.is_empty() {
        return Ok(found);
    }
    let store_dir = daemon.store_dir.clone();
    let mut daemon = connect(&daemon).await?;
    let mut known = lacking_now.clone();
    while !lacking_now.is_empty() {
        let mut named = BTreeSet::new();
        for path in lacking_now {
            let source = look_up_one(&mut daemon, &store_dir, path).await?;
            named.extend(source.references.iter().filter(|path| !known.contains(*path)).cloned());
            found.push(source);
        }
        known.extend(named.iter().cloned());
        if known.len() > MAX_SOURCES {
            return Err(bad_input(format!("the closure has more than {MAX_SOURCES} sources")));
        }
        lacking_now = lacking(connection, &store_dir, &BTreeSet::new(), &named).await.sources;
    }
    Ok(found)
}

async fn connect(config: &DaemonConfig) -> anyhow::Result<Daemon> {
    Daemon::connect(config).await.map_err(|error| {
        bad_input(format!(
            "the farm lacks sources of this build, and only a store daemon knows what they refer to: {error}. \
             Name its socket by --daemon-socket"
        ))
    })
}

async fn look_up_one(daemon: &mut Daemon, store_dir: &StoreDir, path: StorePath) -> anyhow::Result<Source> {
    let info = daemon.path_info(&path).await?.ok_or_else(|| {
        bad_input(format!(
            "the source {} is neither on the farm nor in the store of this machine: evaluate again, or copy it here",
            store_dir.path(&path)
        ))
    })?;
    Ok(Source { path, references: info.references, ca: info.content_address })
}
