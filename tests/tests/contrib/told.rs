//! Command lines as somebody wrote them down.

use std::path::{Path, PathBuf};
use std::process::Command;

use drover_tests::program;

/// The programs that are Drover's. What others would make of a command line is not tried.
pub const PROGRAMS: [&str; 5] = ["drover", "drover-agent", "drover-cache", "drover-hook-worker", "drover-scheduler"];

/// A file or folder of the source tree.
pub fn tree(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(relative)
}

/// The program that the first word of a command line names, if it is one of Drover's.
pub fn ours(word: &str) -> Option<&'static str> {
    let name = word.rsplit('/').next()?;
    PROGRAMS.into_iter().find(|program| *program == name)
}

/// What a program says to these words and `--help`, and whether it took them.
pub fn help(name: &str, words: &[&str]) -> (bool, String) {
    let mut command = Command::new(program(name));
    for variable in std::env::vars_os().map(|(variable, _)| variable) {
        if variable.to_string_lossy().starts_with("DROVER_") {
            command.env_remove(variable);
        }
    }
    let said = command.args(words).arg("--help").output().unwrap();
    (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
}

/// Fails unless the program would take this whole command line.
pub fn try_whole(command_line: &str, told_by: &str) {
    let words: Vec<&str> = command_line.split_whitespace().collect();
    let Some(name) = ours(words[0]) else { return };
    let (taken, said) = help(name, &words[1..]);
    assert!(taken, "{told_by}: {command_line}\n{said}");
}

/// Whether this text of help tells of a flag, or of a variable as `[env: NAME=…]`.
pub fn tells_of(help: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    help.match_indices(name).any(|(at, _)| ends(&help[at + name.len()..]))
}
