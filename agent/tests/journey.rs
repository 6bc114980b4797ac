//! An agent with everything real around it but the scheduler, which is the test: from offer to settlement.

#![allow(clippy::unwrap_used)]

mod support;

use drover_messages::Cause;
use drover_messages::agent::{Beat, Order, Phase};
use drover_messages::offer::{OfferAnswer, Refusal};
use drover_messages::report::Outcome;
use drover_messages::{Generation, offer::Offer};
use drover_nats::Filter;
use drover_store::{Sha256, StorePath};

use support::labs::shell;
use support::{Farm, until};

#[tokio::test]
async fn a_derivation_is_built_told_uploaded_and_settled() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&[]);
    let source = shell("two", r#"outputs = [ "out" "doc" ];"#, "echo hello; echo $doc > $out; echo words > $doc; echo bye");
    let packed = farm.pack(&source).await;
    let offer = farm.scheduler.offer_of(&packed, &[]);
    let mut live = farm.scheduler.bus.subscribe(&Filter::LogsOfBuild(offer.build)).await.unwrap();
    farm.scheduler.offer(&offer).await;

    let built = farm.scheduler.built(&offer).await;
    assert!(!built.already_valid && built.outputs.len() == 2, "{built:?}");
    let log = built.log.unwrap();
    assert_eq!(farm.log_of(&log).await, "hello\nbye\n");
    assert_eq!(log.bytes, 10);
    let chunk = live.next().await.unwrap();
    assert!(chunk.payload.starts_with(b"hello\n"), "{:?}", chunk.payload);

    let uploaded = farm.scheduler.uploaded(&offer).await;
    let out = uploaded.outputs.iter().find(|output| output.name.as_str() == "out").unwrap();
    assert_eq!(out.references, [built.outputs["doc"].clone()]);
    let object = farm.bucket.get(&out.nar.key.parse().unwrap(), 1 << 20).await.unwrap();
    assert_eq!((Sha256::of(&object), object.len() as u64), (out.nar.file_hash, out.nar.file_size));
    let nar = zstd::decode_all(&object[..]).unwrap();
    assert_eq!((Sha256::of(&nar), nar.len() as u64), (out.nar.nar_hash, out.nar.nar_size));

    farm.scheduler.beat(|beat| beat.held.len() == 1 && beat.held[0].phase == Phase::Uploaded).await;
    assert_eq!(farm.count("roots"), 2);
    farm.lab.run(&["nix-store", "--gc"]);
    assert!(farm.lab.file(&out.path).exists(), "an output that is not settled was collected");
    farm.scheduler.order(offer.attempt, Order::Settled);
    farm.scheduler.beat(|beat| beat.held.is_empty()).await;
    farm.kill_agent();
    farm.run_agent(&[]);
    farm.scheduler.beat(|beat| beat.held.is_empty()).await;
}

#[tokio::test]
async fn a_builder_that_fails_is_reported_with_its_log_and_the_daemons_words() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&[]);
    let packed = farm.pack(&shell("bad", "", "echo before it broke; exit 3")).await;
    let offer = farm.scheduler.lease(&packed, &[]).await;
    let failed = farm.scheduler.failed(&offer).await;
    assert_eq!(failed.cause, Cause::BuilderFailed);
    assert!(failed.message.contains("exit code 3"), "{}", failed.message);
    assert_eq!(farm.log_of(&failed.log.unwrap()).await, "before it broke\n");
}

#[tokio::test]
async fn a_build_that_says_too_much_is_stopped() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&["--max-log-bytes", "1000"]);
    let packed = farm.pack(&shell("loud", "", "while true; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done")).await;
    let offer = farm.scheduler.lease(&packed, &[]).await;
    assert_eq!(farm.scheduler.failed(&offer).await.cause, Cause::TooLarge);
}

#[tokio::test]
async fn what_makes_too_much_fails_also_when_the_store_has_it_already_and_is_not_uploaded() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&["--max-output-bytes", "5000"]);
    let fill = "printf '%03000d' 0 > $out; printf '%03000d' 1 > $doc";
    let large = farm.pack(&shell("large", r#"outputs = [ "out" "doc" ];"#, fill)).await;
    let small = farm.pack(&shell("small", "", "printf '%03000d' 0 > $out")).await;
    for _ in 0..2 {
        let offer = farm.scheduler.lease(&large, &[]).await;
        let failed = farm.scheduler.failed(&offer).await;
        let words = "the nars of its outputs have 6224 bytes together, and 5000 is the most";
        assert_eq!((failed.cause, failed.message.as_str()), (Cause::TooLarge, words));
    }
    assert!(farm.lab.file(&large.derivation.outputs["out"].path).exists());
    assert!(!farm.bucket_folder().join("incoming").exists(), "it was uploaded");

    let offer = farm.scheduler.lease(&small, &[]).await;
    farm.scheduler.built(&offer).await;
    farm.scheduler.uploaded(&offer).await;
}

#[tokio::test]
async fn what_was_built_before_a_kill_is_uploaded_after_it() {
    let Some(mut farm) = Farm::start().await else { return };
    // A file where the folder should be: the bucket takes logs, but no outputs.
    let dam = farm.bucket_folder().join("incoming");
    std::fs::write(&dam, "").unwrap();
    farm.run_agent(&[]);
    let packed = farm.pack(&shell("x", "", "echo x > $out")).await;
    let offer = farm.scheduler.lease(&packed, &[]).await;
    farm.scheduler.built(&offer).await;
    assert!(farm.scheduler.no_report(1).await);
    farm.kill_agent();

    std::fs::remove_file(&dam).unwrap();
    farm.run_agent(&[]);
    farm.scheduler.built(&offer).await;
    assert_eq!(farm.scheduler.uploaded(&offer).await.outputs.len(), 1);
}

#[tokio::test]
async fn what_was_building_at_a_kill_is_built_anew_under_the_same_lease() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&[]);
    let packed = farm.pack(&shell("slow", "", "sleep 2; echo x > $out")).await;
    let offer = farm.scheduler.lease(&packed, &[]).await;
    farm.scheduler.beat(|beat| beat.held.iter().any(|held| held.phase == Phase::Building)).await;
    farm.kill_agent();
    farm.run_agent(&[]);
    farm.scheduler.built(&offer).await;
    farm.scheduler.uploaded(&offer).await;
    assert!(farm.scheduler.no_report(1).await);
}

#[tokio::test]
async fn an_aborted_build_ends_at_once_and_says_so() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&[]);
    let packed = farm.pack(&shell("endless", "", "sleep 1000")).await;
    for by_beat in [false, true] {
        let offer = farm.scheduler.lease(&packed, &[]).await;
        farm.scheduler.beat(|beat| beat.held.iter().any(|held| held.phase == Phase::Building)).await;
        if by_beat {
            farm.scheduler.order(offer.attempt, Order::Abort);
        } else {
            farm.scheduler.abort(Generation(2), offer.attempt).await;
            farm.scheduler.abort(Generation(3), offer.attempt).await;
        }
        assert_eq!(farm.scheduler.failed(&offer).await.cause, Cause::Aborted);
        farm.scheduler.order(offer.attempt, Order::Settled);
        farm.scheduler.beat(|beat| beat.held.is_empty()).await;
    }
}

#[tokio::test]
async fn one_offer_waits_beyond_the_slot_and_starts_by_itself() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&[]);
    let slow = farm.pack(&shell("slow", "", "sleep 1; echo x > $out")).await;
    let quick = farm.pack(&shell("quick", "", "echo x > $out")).await;
    let first = farm.scheduler.lease(&slow, &[]).await;
    farm.scheduler.beat(|beat| beat.held.iter().any(|held| held.phase == Phase::Building)).await;
    let second = farm.scheduler.lease(&quick, &[]).await;
    let third = farm.scheduler.offer_of(&quick, &[]);
    assert_eq!(farm.scheduler.try_offer(&third).await, Ok(OfferAnswer::Refused(Refusal::Full)));
    assert_eq!(farm.scheduler.try_offer(&second).await, Ok(OfferAnswer::Accepted), "offered again");
    let mut order = Vec::new();
    for _ in 0..4 {
        let report = farm.scheduler.any_report().await;
        if matches!(report.outcome, Outcome::Built(_)) {
            order.push(report.attempt);
        }
    }
    assert_eq!(order, [first.attempt, second.attempt]);
}

#[tokio::test]
async fn reports_survive_a_broker_that_is_away_and_one_that_forgot_them() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&[]);
    let packed = farm.pack(&shell("slow", "", "sleep 2; echo x > $out")).await;
    let offer = farm.scheduler.lease(&packed, &[]).await;
    farm.nats.kill();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    farm.nats.run();
    farm.scheduler.built(&offer).await;
    let first = farm.scheduler.report(&offer).await;
    farm.scheduler.order(offer.attempt, Order::ReportAgain);
    assert!(matches!(farm.scheduler.report(&offer).await, Outcome::Built(_)));
    assert_eq!(farm.scheduler.report(&offer).await, first);
}

#[tokio::test]
async fn outputs_are_uploaded_again_under_another_key() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&[]);
    let packed = farm.pack(&shell("x", "", "echo x > $out")).await;
    let offer = farm.scheduler.lease(&packed, &[]).await;
    farm.scheduler.built(&offer).await;
    let first = farm.scheduler.uploaded(&offer).await;
    farm.scheduler.beat(|beat| beat.held.iter().any(|held| held.phase == Phase::Uploaded)).await;
    farm.scheduler.order(offer.attempt, Order::UploadAgain);
    let second = farm.scheduler.uploaded(&offer).await;
    assert_ne!(first.outputs[0].nar.key, second.outputs[0].nar.key);
    assert_eq!(first.outputs[0].nar.nar_hash, second.outputs[0].nar.nar_hash);
    assert!(farm.bucket.exists(&second.outputs[0].nar.key.parse().unwrap()).await.unwrap());
}

#[tokio::test]
async fn an_agent_without_its_daemon_says_so_takes_nothing_and_comes_back() {
    let Some(mut farm) = Farm::start().await else { return };
    let packed = farm.pack(&shell("x", "", "echo x > $out")).await;
    farm.run_agent(&[]);
    farm.scheduler.beat(|beat| beat.not_ready.is_none()).await;
    farm.lab.kill_daemon();
    let beat = farm.scheduler.beat(|beat| beat.not_ready.is_some()).await;
    let why = beat.not_ready.unwrap();
    assert!(why.contains("no store daemon answers"), "{why}");
    let offer = farm.scheduler.offer_of(&packed, &[]);
    assert_eq!(farm.scheduler.try_offer(&offer).await, Ok(OfferAnswer::Refused(Refusal::NotReady(why))));
    assert!(farm.lab.start_daemon());
    farm.scheduler.offer(&offer).await;
    farm.scheduler.built(&offer).await;
}

#[tokio::test]
async fn an_agent_whose_load_is_too_high_says_so_takes_nothing_and_goes_on_with_what_it_has() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&[]);
    let commands = "(while :; do :; done) & sleep 15; kill $!; echo x > $out";
    let packed = farm.pack(&shell("busy", "", commands)).await;
    let offer = farm.scheduler.lease(&packed, &[]).await;
    farm.scheduler.beat(|beat| beat.held.iter().any(|held| held.phase == Phase::Building)).await;
    farm.kill_agent();

    farm.run_agent(&["--max-load-percent", "1"]);
    let is_busy = |beat: &Beat| beat.not_ready.as_ref().is_some_and(|why| why.contains("and 1 % is the most"));
    let beat = farm.scheduler.beat(is_busy).await;
    assert!(beat.load_percent > 1, "{beat:?}");
    let more = farm.scheduler.offer_of(&packed, &[]);
    let answer = farm.scheduler.try_offer(&more).await;
    assert!(matches!(answer, Ok(OfferAnswer::Refused(Refusal::NotReady(_)))), "{answer:?}");
    farm.scheduler.beat(|beat| beat.held.iter().any(|held| held.phase == Phase::Building)).await;
    farm.scheduler.built(&offer).await;
}

#[tokio::test]
async fn a_lower_generation_is_refused_also_after_a_restart() {
    let Some(mut farm) = Farm::start().await else { return };
    let packed = farm.pack(&shell("x", "", "echo x > $out")).await;
    let old = Offer { generation: Generation(2), ..farm.scheduler.offer_of(&packed, &[]) };
    let superseded = Ok(OfferAnswer::Refused(Refusal::Superseded(Generation(3))));
    for starts in 1..=2 {
        farm.run_agent(&[]);
        // A beat may still be the killed agent's; its hellos are counted.
        until("a hello of this start", || farm.scheduler.hellos().len() == starts).await;
        farm.scheduler.beat(|beat| beat.generation == Generation(3)).await;
        assert_eq!(farm.scheduler.try_offer(&old).await, superseded);
        farm.kill_agent();
    }
}

#[tokio::test]
async fn an_input_that_nobody_has_is_the_farms_failure() {
    let Some(mut farm) = Farm::start().await else { return };
    let input = shell("input", "", "echo deep > $out");
    let user = format!("let input = {input}; in {}", shell("user", "inherit input;", "read x < $input; echo $x > $out"));
    let (first, second) = (farm.pack(&input).await, farm.pack(&user).await);
    let path: StorePath = first.derivation.outputs["out"].path.clone();
    farm.run_agent(&[]);
    for available in [false, true] {
        let offer = farm.scheduler.lease(&second, &[(path.clone(), available)]).await;
        assert_eq!(farm.scheduler.failed(&offer).await.cause, Cause::InputsUnavailable { missing: vec![path.clone()] });
    }

    let offer = farm.scheduler.lease(&first, &[]).await;
    farm.scheduler.built(&offer).await;
    farm.scheduler.uploaded(&offer).await;
    let offer = farm.scheduler.lease(&second, &[(path.clone(), false)]).await;
    assert!(!farm.scheduler.built(&offer).await.already_valid);
    farm.scheduler.uploaded(&offer).await;
    let again = farm.scheduler.lease(&second, &[(path.clone(), false)]).await;
    assert!(farm.scheduler.built(&again).await.already_valid);
    farm.scheduler.uploaded(&again).await;
}

#[tokio::test]
async fn hello_is_said_again_after_the_broker_was_away() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.run_agent(&["--name", "anna", "--feature", "kvm"]);
    farm.scheduler.beat(|_| true).await;
    let hello = farm.scheduler.hellos()[0].clone();
    assert_eq!((hello.name.as_str(), hello.features, hello.max_parallel_builds), ("anna", vec!["kvm".to_owned()], 1));
    farm.nats.kill();
    farm.nats.run();
    until("another hello", || farm.scheduler.hellos().len() > 1).await;
    assert_eq!(farm.scheduler.hellos()[1].store, hello.store);
}
