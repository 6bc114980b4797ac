//! Makes nats-server read its logins again when their file has changed: a login that was made must be able to come in,
//! one that ended must be cut off.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::first_logins;
use super::folder::Folder;
use super::supervisor::Supervisor;

/// What the scheduler replaces when it makes a login.
const FILE: &str = "users.conf";
/// How soon a change is seen.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Watches, for ever.
pub(crate) async fn when_logins_change(folder: &Folder, supervisor: &Supervisor) {
    let path = folder.path(first_logins::DIR).join(FILE);
    // The server may have started before the last change: one more reading does no harm.
    let mut last = None;
    loop {
        let now = mark(&path);
        if now != last {
            last = now;
            if let Some(server) = supervisor.get("nats-server") {
                server.signal(Signal::SIGHUP).await;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Differs when the file was replaced or written.
fn mark(path: &Path) -> Option<(u64, i64, i64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.mtime(), file.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_by_one_of_the_same_size_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, "a").unwrap();
        let before = mark(&path);
        std::fs::write(dir.path().join("new"), "b").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_ne!(mark(&path), before);
        assert_eq!(mark(&dir.path().join("absent")), None);
    }
}
