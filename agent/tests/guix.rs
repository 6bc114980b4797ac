//! An agent of Guix: whole closures, substitutes of a real `guix publish`, and collections of garbage.

#![allow(clippy::unwrap_used)]

mod support;

use drover_bucket::Key;
use drover_daemon::{BuildMode, Connection, StoreDaemon};
use drover_messages::Cause;
use drover_messages::agent::Phase;
use drover_messages::offer::Offer;
use drover_messages::report::Outcome;
use drover_messages::request::Mode;
use drover_store::StorePath;

use support::labs::{Kind, Lab, Made, Plan};
use support::publish::{Publish, authorize};
use support::{Farm, Packed};

async fn build(daemon: &mut Connection, made: &Made, inputs: &[&Made]) {
    made.add(daemon).await;
    let result = daemon.build(&made.job(inputs), BuildMode::Normal, &mut |_| {}).await.unwrap();
    assert!(result.status.is_success(), "{result:?}");
}

/// Three derivations, each of which uses the one before; the first has a source that refers to another.
struct Chain {
    first: Made,
    second: Made,
    third: Made,
}

impl Chain {
    /// Built in a store.
    async fn build(lab: &Lab) -> Self {
        let mut daemon = lab.connect().await;
        let note = daemon.add_text("note", b"deep\n", &[]).await.unwrap();
        let absolute = lab.store_dir().path(&note).to_string();
        let pointer = daemon.add_text("pointer", absolute.as_bytes(), std::slice::from_ref(&note)).await.unwrap();
        let plan = Plan::new("first", "cat $(cat $pointer) > $out").source(pointer.clone());
        let first = plan.variable("pointer", lab.store_dir().path(&pointer).to_string()).make(lab);
        let second = Plan::new("second", "cat $first > $out").input("first", &first).make(lab);
        let third = Plan::new("third", "echo building; cat $second > $out").input("second", &second).make(lab);
        build(&mut daemon, &first, &[]).await;
        build(&mut daemon, &second, &[&first]).await;
        build(&mut daemon, &third, &[&second]).await;
        Self { first, second, third }
    }
}

impl Farm {
    /// An offer of a derivation whose closure lies in these packs.
    fn offer_in(&mut self, packed: &Packed, closure: &[Packed], inputs: &[(StorePath, bool)]) -> Offer {
        let closure = closure.iter().map(|packed| packed.pack).collect();
        Offer { closure, ..self.scheduler.offer_of(packed, inputs) }
    }

    async fn probe_with(&self, path: &StorePath) {
        let store_dir = self.lab.store_dir();
        let absolute = store_dir.path(path).to_string();
        self.bucket.put(&Key::Probe(store_dir), absolute.into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_closure_over_three_packs_is_brought_and_what_the_cache_has_is_built_all_the_same() {
    let (Some(mut farm), Some(there)) = (Farm::of(Kind::Guix).await, Lab::of(Kind::Guix, &[])) else { return };
    let Chain { first, second, third } = Chain::build(&there).await;
    let publish = Publish::start(&there).await;
    let probe = there.connect().await.add_text("drover-probe", b"probe", &[]).await.unwrap();
    farm.probe_with(&probe).await;
    farm.run_agent(&["--substitute-url", &publish.url]);
    let beat = farm.scheduler.beat(|beat| beat.not_ready.as_ref().is_some_and(|why| why.contains("acl"))).await;
    println!("{}", beat.not_ready.unwrap());
    authorize(&there, &farm.lab);

    let mut packs = Vec::new();
    for made in [&first, &second, &third] {
        packs.extend(farm.pack_made(&[made]).await);
    }
    let inputs = [(second.out().clone(), true)];
    let without = farm.offer_in(&packs[2].clone(), &[], &inputs);
    farm.scheduler.offer(&without).await;
    let failed = farm.scheduler.failed(&without).await;
    assert_eq!(failed.cause, Cause::Refused, "{}", failed.message);
    assert!(failed.message.contains("none of the"), "{}", failed.message);

    let offer = farm.offer_in(&packs[2].clone(), &packs, &inputs);
    farm.scheduler.offer(&offer).await;
    let built = farm.scheduler.built(&offer).await;
    assert!(!built.already_valid);
    assert_eq!(farm.log_of(&built.log.unwrap()).await, "building\n");
    assert_eq!(std::fs::read_to_string(farm.lab.file(third.out())).unwrap(), "deep\n");
    assert!(!farm.lab.file(first.out()).exists(), "only inputs are fetched");
    farm.scheduler.uploaded(&offer).await;

    let again = farm.offer_in(&packs[2].clone(), &packs, &inputs);
    farm.scheduler.offer(&again).await;
    assert!(farm.scheduler.built(&again).await.already_valid);
    farm.scheduler.uploaded(&again).await;
}

#[tokio::test]
async fn what_is_to_be_checked_is_fetched_first() {
    let (Some(mut farm), Some(there)) = (Farm::of(Kind::Guix).await, Lab::of(Kind::Guix, &[])) else { return };
    let Chain { first, second, third } = Chain::build(&there).await;
    let publish = Publish::start(&there).await;
    authorize(&there, &farm.lab);
    farm.probe_with(third.out()).await;
    farm.run_agent(&["--substitute-url", &publish.url]);
    let packs = farm.pack_made(&[&first, &second, &third]).await;
    let inputs = [(second.out().clone(), true), (third.out().clone(), true)];
    let check = Offer { mode: Mode::Check, ..farm.offer_in(&packs[2].clone(), &packs, &inputs) };
    farm.scheduler.offer(&check).await;
    assert!(matches!(farm.scheduler.report(&check).await, Outcome::Checked(_)));
}

#[tokio::test]
async fn a_collection_between_set_up_and_build_takes_nothing_of_the_closure() {
    let Some(mut farm) = Farm::of(Kind::Guix).await else { return };
    farm.run_agent(&[]);
    let slow = Plan::new("slow", "while test ! -e /tmp/never; do sleep 0.1; test $((n=n+1)) -lt 60 || break; done; echo > $out");
    let first = Plan::new("first", "echo first > $out").make(&farm.lab);
    let second = Plan::new("second", "cat $first > $out").input("first", &first).make(&farm.lab);
    let slow = slow.make(&farm.lab);
    let packs = farm.pack_made(&[&first, &second, &slow]).await;
    let offer = farm.scheduler.lease(&packs[0], &[]).await;
    farm.scheduler.built(&offer).await;
    farm.scheduler.uploaded(&offer).await;
    farm.scheduler.order(offer.attempt, drover_messages::agent::Order::Settled);

    let long = farm.scheduler.lease(&packs[2], &[]).await;
    let building = |beat: &drover_messages::agent::Beat| beat.held.iter().any(|held| held.phase == Phase::Building);
    farm.scheduler.beat(building).await;
    let waiting = farm.scheduler.lease(&packs[1], &[(first.out().clone(), false)]).await;
    support::until("the closure is there", || farm.lab.file(&second.drv).exists()).await;
    farm.lab.collect_garbage();
    assert!(farm.lab.file(&second.drv).exists() && farm.lab.file(&first.drv).exists());
    farm.scheduler.built(&long).await;
    let mut ended = 0;
    while ended < 2 {
        let report = farm.scheduler.any_report().await;
        match report.outcome {
            Outcome::Built(built) => assert!(report.attempt == waiting.attempt && !built.already_valid),
            Outcome::Uploaded(_) => ended += 1,
            other => panic!("{other:?}"),
        }
    }
}
