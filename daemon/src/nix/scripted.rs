//! A scripted `nix-daemon`: its greeting and its errors.

use drover_store::StoreDir;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::Connection;
use crate::greeting::greet;
use crate::scripted::{LAST, Step, Word, play};
use crate::{DaemonConfig, DaemonError};

/// A daemon's error frame with this message.
pub fn error(message: &'static str) -> Vec<Word> {
    use Word::{N, S};
    vec![N(0x6378_7470), S("Error"), N(0), S("Error"), S(message), N(0), N(0)]
}

/// The greeting with a daemon that announces protocol 1.`minor`.
pub fn greeting(minor: u64) -> Vec<Step> {
    use Word::{N, S};
    let mut welcome = vec![S("2.99")];
    if minor >= 35 {
        welcome.push(N(1));
    }
    welcome.push(LAST);
    vec![
        Step::Expect(vec![N(0x6e69_7863)]),
        Step::Say(vec![N(0x6478_696f), N(0x100 | minor)]),
        Step::Expect(vec![N(0x100 | minor.min(37)), N(0), N(0)]),
        Step::Say(welcome),
    ]
}

/// The configuration of the tests; the socket is not used.
pub fn config() -> DaemonConfig {
    DaemonConfig::new("/nonexistent", StoreDir::nix())
}

/// Greets over a stream.
pub async fn greet_over(stream: UnixStream, config: &DaemonConfig) -> Result<Connection, DaemonError> {
    match greet(stream, config).await? {
        crate::Connection::Nix(connection) => Ok(connection),
        other => panic!("a nix-daemon was to answer: {other:?}"),
    }
}

/// Greets a daemon of protocol 1.34 and leaves it to the test to go on with the script.
pub async fn connection(script: Vec<Step>) -> (Connection, JoinHandle<()>) {
    connection_of(34, script).await.expect("the greeting")
}

/// As [`connection`], with a daemon of protocol 1.`minor`.
pub async fn connection_of(minor: u64, script: Vec<Step>) -> Result<(Connection, JoinHandle<()>), DaemonError> {
    let (stream, daemon) = play(greeting(minor).into_iter().chain(script).collect());
    Ok((greet_over(stream, &config()).await?, daemon))
}
