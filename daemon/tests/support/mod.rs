//! Real store daemons with empty stores of their own, by `demo/store-daemon` and `demo/guix-daemon`.

#![allow(dead_code, unused_imports, clippy::unwrap_used, reason = "each test file uses its part")]

mod kind;
mod lab;
mod plan;
mod processes;

use drover_daemon::{BuildMode, BuildResult, Connection, DaemonError, Event, Job, StoreDaemon};
use drover_store::{Derivation, DrvPath, StoreDir, StorePath};

pub use kind::Kind;
pub use lab::Lab;
pub use plan::{Made, Plan};
pub use processes::{runs_with_argument, until};

/// A path of Nix's store.
pub fn store_path(absolute: &str) -> StorePath {
    StoreDir::nix().parse(absolute).expect("a store path")
}

/// The Nix expression of a derivation that runs `commands`; they find tools and end with `$out` in place.
pub fn shell(name: &str, attributes: &str, commands: &str) -> String {
    format!(
        r#"derivation {{ name = "{name}"; system = builtins.currentSystem; builder = "/bin/sh"; PATH = "/usr/bin:/bin";
           args = [ "-c" ''{commands}'' ]; {attributes} }}"#
    )
}

/// Builds a derivation that has no input derivations, and gives its log too.
pub async fn build(
    connection: &mut Connection,
    drv: &DrvPath,
    derivation: &Derivation,
) -> (Result<BuildResult, DaemonError>, Vec<String>) {
    let mut log = Vec::new();
    let job = Job::new(drv, derivation, []);
    let outcome = connection.build(&job, BuildMode::Normal, &mut |event| keep_line(event, &mut log)).await;
    (outcome, log)
}

pub fn keep_line(event: Event, log: &mut Vec<String>) {
    if let Event::Line(line) = event {
        log.push(line);
    }
}
