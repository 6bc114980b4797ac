//! `drover up` with a real nats-server and stand-ins for Drover's other processes: what is started, what is told, and
//! that nothing outlives it.

#![allow(clippy::unwrap_used)] // Also in what the tests share.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A process that says that it is ready where it is told to, and waits.
const STAND_IN: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  [ "$1" = --ready-file ] && echo ready > "$2"
  [ "$1" = --listen ] && address=$2
  shift
done
[ -n "$address" ] && exec python3 -m http.server --bind "${address%:*}" "${address##*:}"
while read -r line; do :; done
"#;

struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    /// `None`, said aloud, where something is missing on this machine.
    fn new() -> Option<Self> {
        if drover_nats::server::find().is_none() {
            eprintln!("SKIPPED: no nats-server here; run setup/install, or set DROVER_NATS_SERVER");
            return None;
        }
        if Command::new("python3").arg("--version").output().is_err() {
            eprintln!("SKIPPED: no python3 here to stand in for drover-cache");
            return None;
        }
        let ground = Self { dir: tempfile::tempdir().unwrap() };
        let drover = env!("CARGO_BIN_EXE_drover");
        if std::fs::hard_link(drover, ground.drover()).is_err() {
            std::fs::copy(drover, ground.drover()).unwrap();
        }
        let script = ground.dir.path().join("stand-in");
        std::fs::write(&script, STAND_IN).unwrap();
        for name in ["drover-scheduler", "drover-hook-worker", "drover-cache", "drover-agent"] {
            // By another process: a child that another test starts meanwhile would hold what this one writes to, and
            // while it does nobody can run it.
            let install = Command::new("install").arg(&script).arg(ground.dir.path().join(name)).status();
            assert!(install.unwrap().success());
        }
        Some(ground)
    }

    fn drover(&self) -> PathBuf {
        self.dir.path().join("drover")
    }

    fn farm(&self) -> PathBuf {
        self.dir.path().join("farm")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.drover());
        command.args(["up", "--dir"]).arg(self.farm()).stdin(Stdio::null()).env_remove("DROVER_FARM");
        command
    }

    /// Starts it without agents, and waits until all runs.
    fn up(&self) -> Up {
        self.up_with(&["--no-agents"])
    }

    fn up_with(&self, more: &[&str]) -> Up {
        let out = std::fs::File::create(self.dir.path().join("out")).unwrap();
        let child = self.command().args(more).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        let up = Up { child };
        until("it runs", || self.said().contains("The farm runs."));
        up
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("out")).unwrap()
    }

    /// The processes whose command line names the farm's folder, without `up` itself.
    fn processes(&self) -> Vec<String> {
        let inside = format!("{}/", self.farm().display());
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(&inside)).collect()
    }

    /// The command lines of the `count` processes that run this. A process has none yet for a moment after its start.
    fn running(&self, program: &str, count: usize) -> Vec<String> {
        let program = format!("/{program} ");
        let lines = || self.processes().into_iter().filter(|line| line.contains(&program)).collect::<Vec<_>>();
        until(&format!("{count} of {program}"), || lines().len() == count);
        lines()
    }

    fn pid(&self, name: &str) -> i32 {
        let path = self.farm().join("run").join(format!("{name}.pid"));
        std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }
}

/// Killed when a test fails.
struct Up {
    child: Child,
}

impl Up {
    fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn up_starts_the_farm_says_where_it_is_and_stops_it_on_term() {
    let Some(ground) = Ground::new() else { return };
    let mut up = ground.up();
    let farm: serde_json::Value = serde_json::from_str(&text(&ground.farm().join("farm.json"))).unwrap();
    let cache = text(&ground.farm().join("cache-url"));
    assert!(ground.said().contains(farm["nats_url"].as_str().unwrap()));
    assert!(ground.said().contains(cache.trim()) && cache.trim().ends_with("/nix-store"));
    assert!(ground.said().contains(text(&ground.farm().join("cache-key.pub")).trim()));
    up.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(up.child.wait().unwrap().success());
    assert_eq!(ground.processes(), Vec::<String>::new());
}

/// Somewhere that exists, for a daemon's socket.
const BOTH: [&str; 4] = ["--daemon-socket", "/nix/store=/dev/null", "--daemon-socket", "/gnu/store=/dev/null"];

#[test]
fn each_store_daemon_gets_an_agent_with_the_cache_of_its_store() {
    let Some(ground) = Ground::new() else { return };
    let _up = ground.up_with(&BOTH);
    let farm: serde_json::Value = serde_json::from_str(&text(&ground.farm().join("farm.json"))).unwrap();
    for (n, store, slug) in [(0, "/nix/store", "nix-store"), (1, "/gnu/store", "gnu-store")] {
        let cache = farm["stores"][n]["cache_url"].as_str().unwrap();
        assert!(cache.ends_with(slug) && ground.said().contains(cache), "{}", ground.said());
        let agents = ground.running("drover-agent", 2);
        let agent = agents.iter().find(|line| line.contains(&format!("--store-dir {store} "))).unwrap();
        assert!(agent.contains(&format!("--substitute-url {cache} ")), "{agent}");
        assert_eq!(agent.contains("--trusted-public-key"), n == 0, "{agent}");
    }
    assert!(ground.said().contains("guix archive --authorize"), "{}", ground.said());
}

#[test]
fn other_substitute_servers_are_told_to_all_that_must_know_and_asked_by_a_pool() {
    let Some(ground) = Ground::new() else { return };
    let servers = ["--extra-substitute-url", "https://ci.example", "--trusted-public-key", "ci:AAAA"];
    let _up = ground.up_with(&[&BOTH[..], &servers].concat());
    let pool = ground.running("drover-hook-worker substitutes", 1);
    assert!(pool[0].contains("--substitute-url https://ci.example --trusted-public-key ci:AAAA"), "{pool:?}");
    assert!(!pool[0].contains("--bucket"), "{pool:?}");
    let agents = ground.running("drover-agent", 2);
    assert!(agents.iter().all(|line| line.contains("--extra-substitute-url https://ci.example")), "{agents:?}");
    assert!(ground.running("drover-scheduler", 1)[0].contains("--ask-substitutes"));
}

#[test]
fn a_second_up_on_the_same_folder_says_that_it_runs() {
    let Some(ground) = Ground::new() else { return };
    let _up = ground.up();
    let Output { status, stderr, .. } = ground.command().arg("--no-agents").output().unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(String::from_utf8_lossy(&stderr).contains("a farm runs in"), "{}", String::from_utf8_lossy(&stderr));
}

#[test]
fn nothing_outlives_an_up_that_is_killed() {
    let Some(ground) = Ground::new() else { return };
    let up = ground.up();
    assert!(ground.processes().len() >= 3);
    drop(up);
    until("all are gone", || ground.processes().is_empty());
}

#[test]
fn a_farm_that_is_started_again_keeps_its_addresses_key_and_logins() {
    let Some(ground) = Ground::new() else { return };
    let kept = ["farm.json", "cache-key.pub", "signing-key", "logins/logins.json", "secrets/up.password"];
    let read = || kept.map(|name| text(&ground.farm().join(name)));
    drop(ground.up());
    let before = read();
    let _again = ground.up();
    assert_eq!(read(), before);
}

#[test]
fn a_child_that_is_killed_is_started_again_and_told_of() {
    let Some(ground) = Ground::new() else { return };
    let _up = ground.up();
    let before = ground.pid("nats-server");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(before), nix::sys::signal::Signal::SIGKILL).unwrap();
    until("another nats-server", || ground.pid("nats-server") != before);
    assert!(ground.said().contains("nats-server ended (signal: 9 (SIGKILL))"), "{}", ground.said());
}
