//! One behaviour tried on one daemon.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use drover_daemon::Connection;
use libtest_mimic::{Failed, Trial};

use crate::Behaviour;
use crate::support::{Kind, Lab};
use crate::table::{Outcome, Table};

/// A daemon that may be there to be tried.
pub struct Daemon {
    pub kind: Kind,
    /// What it calls itself, or why it cannot be had here.
    pub there: Result<String, String>,
}

impl Daemon {
    /// Starts it once to see.
    pub fn look(kind: Kind) -> Self {
        let there = Lab::try_of(kind, &[]).map(|lab| name_of(&lab));
        Self { kind, there }
    }

    /// Nobody has looked.
    pub fn unseen(kind: Kind) -> Self {
        Self { kind, there: Ok(kind.to_string()) }
    }
}

/// Guix's daemon tells no version; its client is of the same package.
fn name_of(lab: &Lab) -> String {
    run(async {
        match lab.connect().await {
            Connection::Nix(daemon) => format!("nix {}", daemon.nix_version()),
            Connection::Guix(_) => {
                let told = lab.guix(&["--version"]);
                let version = told.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap_or("?");
                format!("guix {version}")
            }
        }
    })
}

/// Tries a behaviour, unless its daemon is not there, and notes how that went.
pub fn of(behaviour: &'static Behaviour, daemon: &Daemon, table: &Arc<Mutex<Table>>) -> Trial {
    let (kind, table, there) = (daemon.kind, Arc::clone(table), daemon.there.is_ok());
    let trial = Trial::test(format!("{kind}: {}", behaviour.name), move || {
        let start = Instant::now();
        let tried = catch_unwind(AssertUnwindSafe(|| Lab::try_of(kind, &[]).map(|lab| (behaviour.body)(&lab))));
        let outcome = match &tried {
            Ok(Ok(())) => Outcome::Holds(start.elapsed()),
            _ => Outcome::Fails,
        };
        table.lock().map_err(|_| "the table broke")?.enter(behaviour.name, kind, outcome);
        match tried {
            Ok(tried) => tried.map_err(Failed::from),
            Err(panic) => Err(Failed::from(words(panic.as_ref()))),
        }
    });
    trial.with_ignored_flag(!there)
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    formatted.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

/// Runs a future to its end.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}
