//! Output that nobody reads to its end.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

/// What a command says on standard error, and how it ends, when nobody reads what it prints.
fn unread(args: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Command::new(env!("CARGO_BIN_EXE_drover")).args(args).stdout(writer).output().unwrap()
}

#[test]
fn whoever_stops_reading_ends_the_command_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let generate = ["key", "generate", "--guix", file.to_str().unwrap()];
    for args in [&generate[..], &["completions", "bash"]] {
        let ended = unread(args);
        assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap()), (Some(141), String::new()), "{args:?}");
    }
}
