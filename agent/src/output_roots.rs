//! Links that keep outputs in the store until the scheduler has settled their attempt: the right to upload again.
//!
//! Each is an indirect root of the daemon, so that it holds also while no agent runs. Links are used again: the daemon
//! knows a link once it was told of it, and follows it to wherever it points. One that is free still points to the output
//! that it kept last, which harms nobody.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_daemon::{DaemonError, StoreDaemon};
use drover_messages::AttemptId;
use drover_store::{StoreDir, StorePath};

use crate::daemon_pool::DaemonPool;

/// Free links that stay, each with an output that nobody needs any more.
const MAX_FREE_LINKS: usize = 64;

/// The folder of links.
#[derive(Debug)]
pub struct OutputRoots {
    dir: PathBuf,
    store_dir: StoreDir,
    daemons: Arc<DaemonPool>,
    links: Mutex<Links>,
}

/// A link's name is its number.
#[derive(Debug, Default)]
struct Links {
    free: Vec<Link>,
    kept: BTreeMap<AttemptId, Vec<(StorePath, Link)>>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    number: u64,
    /// The daemon was told of it by this process.
    told: bool,
}

/// Why an output is not kept. It may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The state directory does not take the link.
    #[error("cannot make a link in {}", dir.display())]
    Link {
        /// Where.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon does not take it for a root.
    #[error("cannot make a root")]
    Daemon(#[from] DaemonError),
}

impl OutputRoots {
    /// Links in this folder, which exists; its path is absolute.
    pub fn new(dir: PathBuf, store_dir: StoreDir, daemons: Arc<DaemonPool>) -> Self {
        Self { dir, store_dir, daemons, links: Mutex::default() }
    }

    /// Keeps one output of an attempt. Done twice it is done once.
    pub async fn keep(&self, attempt: AttemptId, path: &StorePath) -> Result<(), RootError> {
        let Some(link) = self.links().take(attempt, path) else { return Ok(()) };
        let kept = self.point(link, path).await;
        if kept.is_ok() {
            let link = Link { told: true, ..link };
            self.links().kept.entry(attempt).or_default().push((path.clone(), link));
        } else {
            self.links().free.push(link);
        }
        kept
    }

    /// Lets the outputs of an attempt go.
    pub fn release(&self, attempt: AttemptId) {
        let mut links = self.links();
        for (_, link) in links.kept.remove(&attempt).unwrap_or_default() {
            if links.free.len() < MAX_FREE_LINKS {
                links.free.push(link);
            } else if let Err(error) = fs::remove_file(self.file(link)) {
                tracing::warn!(link = link.number, %error, "an output stays in the store: its root cannot be removed");
            }
        }
    }

    /// Takes over the links of the process before, by the outputs that are held; the others are free.
    pub fn recover(&self, held: &[(AttemptId, StorePath)]) -> io::Result<()> {
        let mut links = self.links();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let target = fs::read_link(entry.path())?;
            let path = target.to_str().and_then(|target| self.store_dir.parse(target).ok());
            links.next = links.next.max(number + 1);
            links.adopt(Link { number, told: false }, path.as_ref(), held);
        }
        Ok(())
    }

    async fn point(&self, link: Link, path: &StorePath) -> Result<(), RootError> {
        let file = self.file(link);
        let new = file.with_extension("new");
        let pointed = match symlink(self.store_dir.path(path), &new) {
            // Left by a process that was killed between the two steps; it points to who knows where.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&new).and_then(|()| symlink(self.store_dir.path(path), &new))
            }
            made => made,
        };
        pointed.and_then(|()| fs::rename(&new, &file)).map_err(|source| RootError::Link { dir: self.dir.clone(), source })?;
        if link.told {
            return Ok(());
        }
        loop {
            let mut daemon = self.daemons.take().await?;
            match daemon.add_indirect_root(&file).await {
                Err(error) if daemon.went_stale(&error) => {}
                rooted => return Ok(rooted?),
            }
        }
    }

    fn file(&self, link: Link) -> PathBuf {
        self.dir.join(link.number.to_string())
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    /// A link to use; `None` where the output is kept already.
    fn take(&mut self, attempt: AttemptId, path: &StorePath) -> Option<Link> {
        if self.kept.get(&attempt).is_some_and(|kept| kept.iter().any(|(other, _)| other == path)) {
            return None;
        }
        Some(self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            Link { number: self.next - 1, told: false }
        }))
    }

    /// Gives a link to the first attempt that needs what it points to and has none yet.
    fn adopt(&mut self, link: Link, path: Option<&StorePath>, held: &[(AttemptId, StorePath)]) {
        let needs = |(attempt, needed): &&(AttemptId, StorePath)| {
            Some(needed) == path && self.kept.get(attempt).is_none_or(|kept| kept.iter().all(|(other, _)| other != needed))
        };
        match held.iter().find(needs) {
            Some((attempt, needed)) => self.kept.entry(*attempt).or_default().push((needed.clone(), link)),
            None => self.free.push(link),
        }
    }
}

#[cfg(test)]
mod tests {
    use drover_daemon::{DaemonConfig, Options};

    use super::*;

    fn roots(dir: &tempfile::TempDir) -> OutputRoots {
        let daemons = DaemonPool::new(DaemonConfig::new("/nowhere", StoreDir::nix()), Options::default(), 1);
        OutputRoots::new(dir.path().to_owned(), StoreDir::nix(), Arc::new(daemons))
    }

    fn path(name: &str) -> StorePath {
        format!("0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-{name}").parse().unwrap()
    }

    fn link(dir: &tempfile::TempDir, number: u64, name: &str) {
        symlink(StoreDir::nix().path(&path(name)), dir.path().join(number.to_string())).unwrap();
    }

    #[tokio::test]
    async fn an_output_is_not_kept_before_the_daemon_knows_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let roots = roots(&dir);
        assert!(matches!(roots.keep(AttemptId::new(), &path("a")).await, Err(RootError::Daemon(_))));
        assert!(roots.links().kept.is_empty());
    }

    #[tokio::test]
    async fn links_of_the_process_before_are_taken_over_by_what_they_point_to_and_used_again() {
        let dir = tempfile::tempdir().unwrap();
        link(&dir, 3, "held");
        link(&dir, 7, "settled");
        let roots = roots(&dir);
        let held = AttemptId::new();
        roots.recover(&[(held, path("held"))]).unwrap();
        roots.keep(held, &path("held")).await.unwrap();

        let mut links = roots.links();
        assert_eq!(links.take(AttemptId::new(), &path("new")).unwrap().number, 7);
        assert_eq!(links.take(AttemptId::new(), &path("new")).unwrap().number, 8);
        drop(links);
        roots.release(held);
        assert_eq!(roots.links().take(AttemptId::new(), &path("new")).unwrap().number, 3);
    }

    #[tokio::test]
    async fn a_link_that_the_daemon_knows_is_turned_without_asking_it() {
        let dir = tempfile::tempdir().unwrap();
        let roots = roots(&dir);
        link(&dir, 0, "old");
        roots.links().free.push(Link { number: 0, told: true });
        roots.keep(AttemptId::new(), &path("new")).await.unwrap();
        assert!(fs::read_link(dir.path().join("0")).unwrap().ends_with(path("new").as_str()));
    }

    #[test]
    fn two_attempts_that_hold_one_output_do_not_share_a_link() {
        let dir = tempfile::tempdir().unwrap();
        link(&dir, 0, "x");
        link(&dir, 1, "x");
        let roots = roots(&dir);
        let held = [(AttemptId::new(), path("x")), (AttemptId::new(), path("x"))];
        roots.recover(&held).unwrap();
        assert_eq!(roots.links().kept.len(), 2);
    }
}
