//! A scripted `guix-daemon`.

use std::collections::BTreeSet;

use drover_store::{StoreDir, StorePath};
use tokio::task::JoinHandle;

use super::Connection;
use crate::DaemonConfig;
use crate::greeting::greet;
use crate::scripted::{LAST, Step, Word, play};

/// The greeting with a daemon that announces protocol `server`, of which `agreed` is spoken.
pub fn greeting(server: u64, agreed: u64) -> Vec<Step> {
    use Word::N;
    vec![
        Step::Expect(vec![N(0x6e69_7863)]),
        Step::Say(vec![N(0x6478_696f), N(server)]),
        Step::Expect(vec![N(agreed), N(0), N(1)]),
        Step::Say(vec![LAST]),
    ]
}

/// The daemon is asked which of these are valid, and says that all are but some.
pub fn asked_valid(paths: &BTreeSet<StorePath>, missing: &BTreeSet<StorePath>) -> [Step; 2] {
    let list = |paths: Vec<&StorePath>| {
        let text = |path: &&StorePath| Word::Text(StoreDir::guix().path(path));
        [Word::N(paths.len() as u64)].into_iter().chain(paths.iter().map(text)).collect::<Vec<_>>()
    };
    let expected = [vec![Word::N(31)], list(paths.iter().collect())].concat();
    let answer = [vec![LAST], list(paths.difference(missing).collect())].concat();
    [Step::Expect(expected), Step::Say(answer)]
}

/// A text frame.
pub fn told(text: &str) -> Step {
    Step::Say(vec![Word::N(0x6f6c_6d67), Word::Text(text.to_owned())])
}

/// The frame of a refusal.
pub fn refused(message: &str, status: u64) -> Step {
    Step::Say(vec![Word::N(0x6378_7470), Word::Text(message.to_owned()), Word::N(status)])
}

/// Plays a script that begins with a greeting.
pub async fn connection(script: Vec<Step>) -> (Connection, JoinHandle<()>) {
    let (stream, daemon) = play(script);
    match greet(stream, &DaemonConfig::new("/nonexistent", StoreDir::guix())).await.expect("the greeting") {
        crate::Connection::Guix(connection) => (connection, daemon),
        other => panic!("a guix-daemon was to answer: {other:?}"),
    }
}
