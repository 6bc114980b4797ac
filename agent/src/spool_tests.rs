//! What the spool promises, as sentences.

use drover_messages::report::{Failed, Outcome, Times};
use drover_messages::request::Mode;
use drover_messages::{BuildId, Cause, Epoch, Generation, ReportId};
use drover_store::{PackId, StoreDir};

use super::*;
use crate::ledger::report;

fn attempt(n: u64) -> Attempt {
    let epoch = Epoch { generation: Generation(1), n };
    let build = BuildId::new();
    let offer = Offer {
        generation: Generation(1),
        epoch,
        attempt: AttemptId::derived(build, epoch),
        build,
        store_dir: StoreDir::nix(),
        drv: "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello.drv".parse().unwrap(),
        pack: PackId::of(b"pack"),
        closure: Vec::new(),
        inputs: Vec::new(),
        mode: Mode::Build,
    };
    Attempt { offer: Arc::new(offer), stage: Stage::Accepted }
}

fn failed(attempt: &Attempt) -> Attempt {
    let failed = Failed { cause: Cause::Silent, message: "hm".into(), times: Times::default(), log: None, kept: Vec::new() };
    let failed = report(&attempt.offer, ReportId::new(), Outcome::Failed(failed));
    Attempt { offer: attempt.offer.clone(), stage: Stage::Failed { built: None, failed } }
}

fn spool(dir: &tempfile::TempDir) -> Spool {
    Spool::open(dir.path()).unwrap().0
}

fn load(dir: &tempfile::TempDir) -> Vec<Attempt> {
    Spool::open(dir.path()).unwrap().1
}

#[test]
fn what_was_saved_last_is_loaded_in_order_of_the_leases() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(&dir);
    let (one, two, three) = (attempt(1), attempt(2), attempt(3));
    for attempt in [&three, &one, &two] {
        spool.save(attempt).unwrap();
    }
    let two_failed = failed(&two);
    spool.save(&two_failed).unwrap();
    assert_eq!(load(&dir), [one, two_failed, three]);
}

#[test]
fn what_is_forgotten_is_not_loaded_and_may_be_forgotten_twice() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(&dir);
    let (one, two) = (attempt(1), attempt(2));
    spool.save(&one).unwrap();
    spool.save(&two).unwrap();
    spool.forget(one.offer.attempt).unwrap();
    spool.forget(one.offer.attempt).unwrap();
    assert_eq!(load(&dir), [two]);
}

#[test]
fn a_kill_in_the_middle_of_a_write_leaves_what_was_before_and_room_for_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (one, path) = (attempt(1), dir.path().join("journal"));
    let first = spool(&dir);
    first.save(&one).unwrap();
    let whole = fs::metadata(&path).unwrap().len() as usize;
    first.save(&failed(&one)).unwrap();
    let both = fs::read(&path).unwrap();
    for cut in whole..both.len() {
        fs::write(&path, &both[..cut]).unwrap();
        let (spool, attempts) = Spool::open(dir.path()).unwrap();
        assert_eq!(attempts, std::slice::from_ref(&one), "cut at {cut}");
        let last = failed(&one);
        spool.save(&last).unwrap();
        assert_eq!(load(&dir), [last]);
    }
}

#[test]
fn a_power_cut_that_leaves_zeros_behind_costs_only_what_they_replace() {
    let dir = tempfile::tempdir().unwrap();
    let one = attempt(1);
    spool(&dir).save(&one).unwrap();
    let mut file = File::options().append(true).open(dir.path().join("journal")).unwrap();
    file.write_all(&[0; 4096]).unwrap();
    assert_eq!(load(&dir), [one]);
}

#[test]
fn a_record_that_cannot_be_read_is_set_aside_and_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two, path) = (attempt(1), attempt(2), dir.path().join("journal"));
    spool(&dir).save(&one).unwrap();
    File::options().append(true).open(&path).unwrap().write_all(b"\x01\0\0\0\xc1").unwrap();
    let (spool, attempts) = Spool::open(dir.path()).unwrap();
    assert_eq!(attempts, std::slice::from_ref(&one));
    assert!(path.with_extension("broken").exists());
    spool.save(&two).unwrap();
    assert_eq!(load(&dir), [one, two]);
}

#[test]
fn a_journal_does_not_grow_with_what_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(&dir);
    let held = attempt(0);
    spool.save(&held).unwrap();
    for n in 1..12_000 {
        let attempt = attempt(n);
        spool.save(&attempt).unwrap();
        spool.forget(attempt.offer.attempt).unwrap();
    }
    assert!(fs::metadata(dir.path().join("journal")).unwrap().len() <= COMPACT_ABOVE_BYTES + 4096);
    assert_eq!(load(&dir), [held]);
}
