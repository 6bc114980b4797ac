//! What an agent makes of a build's end, and of checks: the same with every daemon.

#![allow(clippy::unwrap_used)]

mod support;

use drover_bucket::Key;
use drover_messages::Cause;
use drover_messages::agent::{Order, Phase};
use drover_messages::offer::Offer;
use drover_messages::report::{Failed, Outcome};
use drover_messages::request::Mode;
use drover_store::{Digest, FixedHash, HashAlgo, Sha256};

use support::labs::{Kind, Made, Plan};
use support::{Farm, Packed, until};

/// One test for each kind of daemon.
macro_rules! with_every_daemon {
    ($($name:ident),*) => {
        mod nix { $(#[tokio::test] async fn $name() { super::$name(super::Kind::Nix).await })* }
        mod newer_nix { $(#[tokio::test] async fn $name() { super::$name(super::Kind::NewerNix).await })* }
        mod guix { $(#[tokio::test] async fn $name() { super::$name(super::Kind::Guix).await })* }
    };
}

with_every_daemon!(
    the_memory_of_a_long_build_is_told,
    the_cause_of_a_failure_is_told,
    a_build_that_is_silent_or_slow_is_stopped,
    a_check_that_finds_nothing_is_told_and_one_that_does_keeps_what_it_found
);

impl Farm {
    /// An offer of a derivation without inputs but what the store has.
    async fn offer_of(&mut self, plan: &Plan<'_>) -> (Made, Offer) {
        let made = plan.make(&self.lab);
        let packed: Packed = self.pack_made(&[&made]).await.remove(0);
        let offer = self.scheduler.offer_of(&packed, &[]);
        (made, offer)
    }

    async fn failure_of(&mut self, plan: &Plan<'_>) -> Failed {
        let (_, offer) = self.offer_of(plan).await;
        self.scheduler.offer(&offer).await;
        self.scheduler.failed(&offer).await
    }

    async fn settle(&self, offer: &Offer) {
        self.scheduler.order(offer.attempt, Order::Settled);
        self.scheduler.beat(|beat| beat.held.is_empty()).await;
    }
}

/// A pipe that nobody reads from keeps a `tail` and what it has read.
async fn the_memory_of_a_long_build_is_told(kind: Kind) {
    let Some(mut farm) = Farm::of(kind).await else { return };
    farm.run_agent(&[]);
    let (bytes, secs) = (150_000_000, 8);
    let script = format!("head -c {bytes} /dev/zero | tail -c {bytes} | (sleep {secs}; cat > /dev/null); echo > $out");
    let (_, offer) = farm.offer_of(&Plan::new("large", script)).await;
    farm.scheduler.offer(&offer).await;
    let peak = farm.scheduler.built(&offer).await.times.peak_memory_mib.unwrap();
    assert!((140..600).contains(&peak), "{peak} MiB");
}

/// Whether a message names a hash, in whichever way it is written.
fn names(message: &str, hash: &Sha256) -> bool {
    let words = message.split(|c: char| c.is_whitespace() || c == ',');
    let mut hashes = words.filter_map(|word| word.strip_prefix("sha256").map(|hash| &hash[1..]));
    hashes.any(|written| Digest::parse(HashAlgo::Sha256, written) == Ok((*hash).into()))
}

/// As the kernel does when memory runs out.
async fn kill_who_sleeps(secs: u32) {
    let secs = secs.to_string();
    let sleeps = |pid: &u32| {
        let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        cmdline.split(|byte| *byte == 0).collect::<Vec<_>>().ends_with(&[b"sleep", secs.as_bytes(), b""])
    };
    let find = || {
        let names = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).find(sleeps)
    };
    let mut found = None;
    until("the builder sleeps", || {
        found = find();
        found.is_some()
    })
    .await;
    let killed = std::process::Command::new("kill").args(["-9", &found.unwrap().to_string()]).status().unwrap();
    assert!(killed.success());
}

async fn the_cause_of_a_failure_is_told(kind: Kind) {
    let Some(mut farm) = Farm::of(kind).await else { return };
    farm.run_agent(&[]);
    let failed = farm.failure_of(&Plan::new("bad", "echo No space left on device; exit 3")).await;
    assert_eq!(failed.cause, Cause::BuilderFailed, "{}", failed.message);
    assert!(failed.message.contains("exit code 3"), "{}", failed.message);
    assert_eq!(farm.log_of(&failed.log.unwrap()).await, "No space left on device\n");

    let failed = farm.failure_of(&Plan::new("nothing", "echo nothing")).await;
    assert_eq!(failed.cause, Cause::BuilderFailed, "{}", failed.message);
    let (_, offer) = farm.offer_of(&Plan::new("killed", format!("exec sleep {}", 1_000_000 + std::process::id()))).await;
    farm.scheduler.offer(&offer).await;
    kill_who_sleeps(1_000_000 + std::process::id()).await;
    let failed = farm.scheduler.failed(&offer).await;
    assert_eq!(failed.cause, Cause::Killed, "{}", failed.message);

    let wanted = FixedHash { recursive: false, digest: Sha256::of(b"wanted\n").into() };
    let failed = farm.failure_of(&Plan::new("mismatch", "echo made > $out").fixed(wanted)).await;
    assert_eq!(failed.cause, Cause::HashMismatch, "{}", failed.message);
    for hash in [Sha256::of(b"wanted\n"), Sha256::of(b"made\n")] {
        assert!(names(&failed.message, &hash), "{hash:?} is not in: {}", failed.message);
    }
    for script in ["exit 1", "true"] {
        let failed = farm.failure_of(&Plan::new("download", script).fixed(wanted)).await;
        assert_eq!(failed.cause, Cause::DownloadFailed, "{script}: {}", failed.message);
    }
}

async fn a_build_that_is_silent_or_slow_is_stopped(kind: Kind) {
    let Some(mut farm) = Farm::of(kind).await else { return };
    farm.run_agent(&["--max-silent-secs", "1", "--build-timeout-secs", "3"]);
    let failed = farm.failure_of(&Plan::new("silent", "echo a; sleep 1000")).await;
    assert_eq!(failed.cause, Cause::Silent, "{}", failed.message);
    let failed = farm.failure_of(&Plan::new("slow", "while true; do echo a; sleep 0.2; done")).await;
    assert_eq!(failed.cause, Cause::TimedOut, "{}", failed.message);
}

async fn a_check_that_finds_nothing_is_told_and_one_that_does_keeps_what_it_found(kind: Kind) {
    let Some(mut farm) = Farm::of(kind).await else { return };
    farm.run_agent(&[]);
    let (made, offer) = farm.offer_of(&Plan::new("same", "echo once more; echo same > $out")).await;
    farm.build(&made, &offer).await;
    let check = farm.offer_check(&made, &offer).await;
    let Outcome::Checked(checked) = farm.scheduler.report(&check).await else { panic!("it is the same") };
    assert_eq!(farm.log_of(&checked.log.unwrap()).await, "once more\n");
    farm.scheduler.beat(|beat| beat.held.iter().any(|held| held.phase == Phase::Checked)).await;
    farm.scheduler.order(check.attempt, Order::ReportAgain);
    assert!(matches!(farm.scheduler.report(&check).await, Outcome::Checked(_)));
    farm.settle(&check).await;

    let plan = Plan::new("random", "echo same > $doc; mkdir $out; head -c 9 /dev/urandom > $out/file").outputs(&["doc", "out"]);
    let (made, offer) = farm.offer_of(&plan).await;
    farm.build(&made, &offer).await;
    let check = farm.offer_check(&made, &offer).await;
    let failed = farm.scheduler.failed(&check).await;
    assert_eq!(failed.cause, Cause::NotDeterministic, "{}", failed.message);
    let [kept] = &failed.kept[..] else { panic!("one output differs: {:?}", failed.kept) };
    assert_eq!((kept.name.as_str(), &kept.path), ("out", made.out()));
    let key = Key::Kept { build: check.build, attempt: check.attempt, item: made.out().into() };
    assert_eq!(kept.nar.key, key.to_string());
    let object = farm.bucket.get(&key, 1 << 20).await.unwrap();
    assert_eq!((Sha256::of(&object), object.len() as u64), (kept.nar.file_hash, kept.nar.file_size));
    let nar = zstd::decode_all(&object[..]).unwrap();
    assert_eq!((Sha256::of(&nar), nar.len() as u64), (kept.nar.nar_hash, kept.nar.nar_size));
    for folder in ["nix/tmp", "nix/var/nix/builds"] {
        let left = std::fs::read_dir(farm.lab.scratch().join(folder)).into_iter().flatten().count();
        assert_eq!(left, 0, "folders of builds in {folder}");
    }
    let store = farm.lab.file(made.out()).parent().unwrap().to_owned();
    let entries = || std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    until("what differed is gone from the store", || !entries().any(|name| name.ends_with("check"))).await;
}

impl Farm {
    /// Builds it for the first time.
    async fn build(&mut self, made: &Made, offer: &Offer) {
        self.scheduler.offer(offer).await;
        assert!(!self.scheduler.built(offer).await.already_valid, "{}", made.drv);
        self.scheduler.uploaded(offer).await;
        self.settle(offer).await;
    }

    /// Offers the same again, to be checked.
    async fn offer_check(&mut self, made: &Made, offer: &Offer) -> Offer {
        let packed = Packed { drv: made.drv.clone(), derivation: made.derivation.clone(), pack: offer.pack };
        let outputs = made.derivation.outputs.values().map(|output| (output.path.clone(), false));
        let check = self.scheduler.offer_of(&packed, &outputs.collect::<Vec<_>>());
        let check = Offer { mode: Mode::Check, ..check };
        self.scheduler.offer(&check).await;
        check
    }
}
