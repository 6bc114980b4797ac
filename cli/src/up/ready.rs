//! Waits until a child serves: a port that accepts, a file that appears. It knows nothing of the child.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// How long a child may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How much of a child's log is shown when it does not come up.
const LAST_LINES: usize = 12;
/// How much of the log's end is read for it, in bytes.
const TAIL_BYTES: u64 = 16 << 10;

/// Waits until somebody accepts connections there.
pub(crate) async fn port(name: &str, address: SocketAddr, log: &Path) -> anyhow::Result<()> {
    let until = Instant::now() + READY_WITHIN;
    while TcpStream::connect(address).await.is_err() {
        wait(name, until, log).await?;
    }
    Ok(())
}

/// Waits until the file is there.
pub(crate) async fn file(name: &str, path: &Path, log: &Path) -> anyhow::Result<()> {
    let until = Instant::now() + READY_WITHIN;
    while !path.exists() {
        wait(name, until, log).await?;
    }
    Ok(())
}

async fn wait(name: &str, until: Instant, log: &Path) -> anyhow::Result<()> {
    if Instant::now() < until {
        sleep(LOOK_EVERY).await;
        return Ok(());
    }
    Err(anyhow!("{name} does not serve after {} s. The end of {}:\n{}", READY_WITHIN.as_secs(), log.display(), tail(log)))
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut end = Vec::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        let size = file.metadata().map(|log| log.len()).unwrap_or_default();
        let _ = file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)));
        let _ = file.take(TAIL_BYTES).read_to_end(&mut end);
    }
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_waited_for_until_it_appears() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready");
        let waiting = file("scheduler", &path, &path);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.is_err());
        std::fs::write(&path, "").unwrap();
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_port_is_ready_when_somebody_listens() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        port("server", listener.local_addr().unwrap(), Path::new("/dev/null")).await.unwrap();
    }

    #[test]
    fn the_tail_has_the_last_lines_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, text).unwrap();
        let tail = tail(&path);
        assert_eq!(tail.lines().count(), LAST_LINES);
        assert!(tail.ends_with("line 99"));
    }
}
