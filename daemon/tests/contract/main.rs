//! What Drover counts on in a store daemon, tried on every daemon that can be had here: a table, daemon × behaviour.
//!
//! Every behaviour is one function, the same for all daemons, and gets a store of its own. It takes what `cargo test` gives
//! to other tests: `cargo test --test contract -- guix` runs those of one daemon.

#![allow(clippy::unwrap_used, reason = "what is not there fails the trial")]

#[path = "../support/mod.rs"]
mod support;

mod endings;
mod garbage;
mod interruptions;
mod loads;
mod table;
mod trial;
mod watched;

use std::sync::{Arc, Mutex};

use libtest_mimic::Arguments;
use support::{Kind, Lab};
use table::Table;
use trial::Daemon;

/// One thing that Drover counts on.
pub struct Behaviour {
    /// What it is.
    pub name: &'static str,
    /// Panics when it is not so.
    pub body: fn(&Lab),
}

/// Names each behaviour by what it is, and the function that tries it.
macro_rules! behaviours {
    ($($name:literal => $body:path,)*) => {
        &[$(Behaviour { name: $name, body: |lab| trial::run($body(lab)) }),*]
    };
}

const BEHAVIOURS: &[Behaviour] = behaviours! {
    "success" => endings::success,
    "several outputs" => endings::several_outputs,
    "live log" => endings::live_log,
    "failing builder" => endings::failing_builder,
    "no output" => endings::no_output,
    "hash mismatch" => endings::hash_mismatch,
    "timeout" => endings::timeout,
    "silence" => endings::silence,
    "same in check mode" => endings::same_in_check_mode,
    "not deterministic in check mode" => endings::not_deterministic_in_check_mode,
    "missing input" => endings::missing_input,
    "sandbox" => endings::sandbox,
    "cancel" => interruptions::cancel,
    "daemon killed in the middle" => interruptions::daemon_killed_in_the_middle,
    "two builds at once" => interruptions::two_builds_at_once,
    "same build twice at once" => interruptions::same_build_twice_at_once,
    "collection between set-up and build" => garbage::between_set_up_and_build,
    "collection between build and upload" => garbage::between_build_and_upload,
    "log that is not UTF-8" => loads::log_that_is_not_utf8,
    "log of 100 MB" => loads::log_of_100_megabytes,
    "output with 50,000 files" => loads::output_with_50_000_files,
    "output of 2 GiB" => loads::output_of_2_gibibytes,
};

fn main() {
    let mut arguments = Arguments::from_args();
    // The heavy ones would take each other's time, and others count seconds.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let daemons = if arguments.list { Kind::ALL.map(Daemon::unseen) } else { Kind::ALL.map(Daemon::look) };
    let table = Arc::new(Mutex::new(Table::default()));
    let pairs = BEHAVIOURS.iter().flat_map(|behaviour| daemons.iter().map(move |daemon| (behaviour, daemon)));
    let trials = pairs.map(|(behaviour, daemon)| trial::of(behaviour, daemon, &table)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        let behaviours: Vec<&str> = BEHAVIOURS.iter().map(|behaviour| behaviour.name).collect();
        table.lock().expect("nobody panics with the table").print(&daemons, &behaviours);
    }
    conclusion.exit();
}
