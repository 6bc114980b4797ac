//! Measures how fast derivations are read and verified, and next to it the crate `nix-derivation`:
//! `cargo run --release -p drover-store --example drv_verify -- CORPUS…`, each a directory of `.drv` or a `.tar.zst` of one; without any,
//! the largest corpus that is here.
//! Reading the files is not measured; the best of five runs counts. `--ours` leaves the peer out.

#[path = "../tests/corpus/mod.rs"]
mod corpus;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drover_store::{Derivation, DrvPath, NarInfo, StoreDir, verify};

const RUNS: usize = 5;
const NARINFOS: u32 = 50_000;

fn main() {
    let (flags, given): (Vec<_>, Vec<_>) = std::env::args_os().skip(1).partition(|arg| arg == "--ours");
    let (peer, given) = (flags.is_empty(), given.into_iter().map(PathBuf::from).collect::<Vec<_>>());
    for path in if given.is_empty() { largest() } else { given } {
        let drvs = corpus::read(&path);
        let bytes: usize = drvs.values().map(Bytes::len).sum();
        println!("{}: {} derivations, {bytes} bytes", path.display(), drvs.len());
        let store = store_of(&drvs);
        report("read", &drvs, || {
            for aterm in drvs.values() {
                std::hint::black_box(Derivation::parse(&store, aterm).expect("a derivation"));
            }
        });
        report("verify", &drvs, || {
            std::hint::black_box(verify(&store, &drvs, |_| None).expect("verified"));
        });
        if peer {
            report("read_peer", &drvs, || {
                for (path, aterm) in &drvs {
                    std::hint::black_box(peer_read(&store, path, aterm));
                }
            });
            report("verify_peer", &drvs, || peer_verify(&store, &drvs));
        }
    }
    if peer {
        narinfos();
    }
}

/// The largest corpus that is here, if any.
fn largest() -> Vec<PathBuf> {
    let size = |path: &PathBuf| path.metadata().map_or(0, |file| file.len());
    corpus::all().into_iter().max_by_key(size).into_iter().collect()
}

/// A narinfo with three references, read and its fingerprint made, by us and by the peer.
fn narinfos() {
    let text = include_str!("../tests/vectors/narinfo/ignag5zkd3v1s6r81qmdagj80ng80kir.narinfo");
    let (ours, theirs) = (StoreDir::nix(), nix_derivation::StoreDir::new("/nix/store").expect("a store directory"));
    let rate = |what: &str, run: &dyn Fn() -> usize| {
        let start = Instant::now();
        let made: usize = (0..NARINFOS).map(|_| std::hint::black_box(run())).sum();
        assert!(made > 0);
        println!("result {what} {:.0} narinfo/s", f64::from(NARINFOS) / start.elapsed().as_secs_f64());
    };
    rate("narinfo_read", &|| NarInfo::parse(&ours, text).expect("a narinfo").fingerprint(&ours).len());
    rate("narinfo_read_peer", &|| {
        nix_narinfo::NarInfo::parse_in(&theirs, text.as_bytes()).expect("a narinfo").fingerprint(&theirs).len()
    });
}

fn store_of(drvs: &BTreeMap<DrvPath, Bytes>) -> StoreDir {
    let sample = drvs.values().next().expect("a corpus that is not empty");
    let guix = StoreDir::guix();
    if Derivation::parse(&guix, sample).is_ok() { guix } else { StoreDir::nix() }
}

fn report(what: &str, drvs: &BTreeMap<DrvPath, Bytes>, run: impl Fn()) {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    let best = (0..RUNS).map(time).min().unwrap_or(Duration::MAX).as_secs_f64();
    let megabytes = drvs.values().map(Bytes::len).sum::<usize>() as f64 / 1e6;
    println!("result drv_{what} {:.0} drv/s", drvs.len() as f64 / best);
    println!("result drv_{what}_rate {:.0} MB/s", megabytes / best);
}

fn peer_read(store: &StoreDir, path: &DrvPath, aterm: &[u8]) -> nix_derivation::Derivation {
    let store = nix_derivation::StoreDir::new(store.as_str()).expect("a store directory");
    nix_derivation::Derivation::from_aterm_bytes_in(aterm, path.name_without_drv(), store).expect("a derivation")
}

/// The same work by the peer: names, hashes modulo and output paths of all.
fn peer_verify(store: &StoreDir, drvs: &BTreeMap<DrvPath, Bytes>) {
    let read: HashMap<String, nix_derivation::Derivation> =
        drvs.iter().map(|(path, aterm)| (path.to_string(), peer_read(store, path, aterm))).collect();
    let mut memo: HashMap<String, nix_derivation::InputDerivationHash> = HashMap::new();
    for path in inputs_first(&read) {
        let drv = &read[&path];
        assert_eq!(drv.drv_path().expect("a path").to_basename(), path);
        let known = |input: &nix_derivation::StorePath| memo[&input.to_basename()];
        drv.validate_with_input_hashes(known).expect("valid outputs");
        let hash = drv.hash_input_derivation_modulo(known).expect("a hash");
        memo.insert(path, hash);
    }
}

fn inputs_first(read: &HashMap<String, nix_derivation::Derivation>) -> Vec<String> {
    let mut order = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut stack: Vec<(String, bool)> = read.keys().map(|path| (path.clone(), false)).collect();
    while let Some((path, inputs_done)) = stack.pop() {
        if inputs_done {
            order.push(path);
        } else if seen.insert(path.clone()) {
            stack.push((path.clone(), true));
            stack.extend(read[&path].input_derivations().keys().map(|input| (input.to_basename(), false)));
        }
    }
    order
}
