//! Getting through to a socket whose daemon is busy with other callers. Nothing is said here.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;

/// How soon to call again.
const CALL_AGAIN: Duration = Duration::from_millis(10);

/// Connects, however long that takes. `guix-daemon` lets five callers wait, and the kernel turns away the sixth with
/// `EAGAIN`: that is no daemon that is gone.
pub(crate) async fn dial(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(CALL_AGAIN).await,
            dialled => return dialled,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixSocket;

    use super::*;

    #[tokio::test]
    async fn who_is_turned_away_by_a_busy_daemon_calls_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        let turned_away = loop {
            match UnixStream::connect(&path).await {
                Ok(caller) => waiting.push(caller),
                Err(error) => break error,
            }
        };
        assert_eq!(turned_away.kind(), io::ErrorKind::WouldBlock);
        let accepting = async {
            tokio::time::sleep(3 * CALL_AGAIN).await;
            listener.accept().await.unwrap()
        };
        let (dialled, _) = tokio::join!(dial(&path), accepting);
        dialled.unwrap();
    }

    #[tokio::test]
    async fn where_nobody_listens_that_is_said_at_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(dial(&dir.path().join("socket")).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
