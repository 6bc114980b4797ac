//! The table of what was tried: a row for each behaviour, a column for each daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::Kind;
use crate::trial::Daemon;

const NAME_WIDTH: usize = 38;
const CELL_WIDTH: usize = 14;

/// How one behaviour of one daemon turned out.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// It is as Drover wants it; this is what it took, with a new store.
    Holds(Duration),
    /// It is not.
    Fails,
}

/// What was tried so far.
#[derive(Default)]
pub struct Table {
    cells: BTreeMap<(&'static str, Kind), Outcome>,
}

impl Table {
    /// Notes an outcome.
    pub fn enter(&mut self, behaviour: &'static str, kind: Kind, outcome: Outcome) {
        self.cells.insert((behaviour, kind), outcome);
    }

    /// Prints it, without rows that nobody asked for, and last why daemons are missing.
    pub fn print(&self, daemons: &[Daemon], behaviours: &[&'static str]) {
        let head = daemons.iter().map(|daemon| daemon.there.clone().unwrap_or_else(|_| daemon.kind.to_string()));
        row("", head);
        for behaviour in behaviours.iter().filter(|behaviour| self.cells.keys().any(|(tried, _)| tried == *behaviour)) {
            row(behaviour, daemons.iter().map(|daemon| self.cell(behaviour, daemon)));
        }
        println!();
        for daemon in daemons {
            if let Err(why) = &daemon.there {
                println!("SKIPPED: {}: {why}", daemon.kind);
            }
        }
    }

    fn cell(&self, behaviour: &'static str, daemon: &Daemon) -> String {
        match (self.cells.get(&(behaviour, daemon.kind)), &daemon.there) {
            (Some(Outcome::Holds(took)), _) => format!("ok {:6.1} s", took.as_secs_f64()),
            (Some(Outcome::Fails), _) => "FAILED".into(),
            (None, Err(_)) => "skipped".into(),
            (None, Ok(_)) => "-".into(),
        }
    }
}

fn row(name: &str, cells: impl Iterator<Item = String>) {
    print!("{name:<NAME_WIDTH$}");
    for cell in cells {
        print!("{cell:<CELL_WIDTH$}");
    }
    println!();
}
