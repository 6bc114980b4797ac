//! What the pool `publish` is asked.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use drover_messages::offer::Offer;
use drover_messages::publish::{Done, Origin, Publish, PublishVerdict};
use drover_messages::report::{Outcome, Report, Uploaded, UploadedOutput};
use drover_messages::request::Nar;
use drover_messages::wish::Wished;
use drover_messages::{AgentId, ReportId};
use drover_scheduler_core::{Effect, Input, LARGE_NAR_BYTES, Limits};
use drover_store::{OutputName, Sha256};
use farm::{Farm, build, path, planned, uuid};

/// What has the word in its name is large.
fn uploaded(agent: AgentId, offer: &Offer, references: &[&str]) -> Input {
    let hash = Sha256::of(b"nar");
    let file_size = if offer.drv.name_without_drv().contains("large") { LARGE_NAR_BYTES + 1 } else { 1 };
    let nar = Nar { key: "incoming/x".into(), nar_hash: hash, nar_size: 1, file_hash: hash, file_size };
    let references = references.iter().map(|name| path(name)).collect();
    let path = path(offer.drv.name_without_drv());
    let outputs = vec![UploadedOutput { name: OutputName::OUT, path, references, nar }];
    let Offer { attempt, build, epoch, .. } = *offer;
    let outcome = Outcome::Uploaded(Uploaded { outputs, upload_micros: 0 });
    let report = Report { report: ReportId::from_uuid(uuid(9)), attempt, build, epoch, outcome };
    Input::Report { agent, report: Box::new(report) }
}

fn asked(farm: &mut Farm) -> Vec<Publish> {
    let effects = farm.advance(Input::Dispatch).effects.into_iter();
    effects.filter_map(|effect| if let Effect::Ask { publish, .. } = effect { Some(*publish) } else { None }).collect()
}

#[test]
fn an_output_is_asked_for_with_all_that_it_could_refer_to_though_no_record_says_it() {
    let mut farm = Farm::new();
    farm.advance(Input::CaughtUp);
    let agent = farm.agent(1, 2);
    farm.submit(1, vec![planned(1, "below", &[], false), planned(1, "top", &["below"], true)]);
    let below = farm.offers().remove(0);
    farm.built(agent, &below, 1_000);
    let top = farm.offers().remove(0);
    farm.built(agent, &top, 1_000);
    farm.advance(uploaded(agent, &below, &[]));
    farm.advance(uploaded(agent, &top, &[]));
    let asked = asked(&mut farm);
    assert_eq!(asked.len(), 2);
    for publish in asked {
        let Origin::Output { candidates, .. } = publish.origin else { panic!("all are outputs") };
        let expected = if publish.path == path("top") { vec![path("below"), path("top")] } else { vec![path("below")] };
        assert_eq!(candidates, expected);
        let recorded = farm.core.state().publication(publish.publication).unwrap();
        assert!(matches!(&recorded.origin, Origin::Output { candidates, .. } if candidates.is_empty()));
    }
}

/// An output is built and uploaded.
fn bring(farm: &mut Farm, agent: AgentId, offer: &Offer, references: &[&str]) {
    farm.built(agent, offer, 1_000);
    farm.advance(uploaded(agent, offer, references));
}

/// Publishes what is asked for, one after the other, and gives what it was.
fn publish_all(farm: &mut Farm) -> Vec<String> {
    let mut published = Vec::new();
    while let [publish] = &asked(farm)[..] {
        published.push(publish.path.name().to_owned());
        farm.advance(Input::Published(Done { publication: publish.publication, verdict: PublishVerdict::Published }));
    }
    published
}

#[test]
fn what_has_become_urgent_is_published_first_with_what_it_refers_to() {
    let mut farm = Farm::with(Limits { asked_at_once: 1, large_asked_at_once: 1, ..Limits::default() });
    farm.advance(Input::CaughtUp);
    let agent = farm.agent(1, 5);
    farm.submit(1, ["first", "second"].map(|name| planned(1, name, &[], true)).into());
    farm.offers().iter().for_each(|offer| bring(&mut farm, agent, offer, &[]));
    farm.submit(2, vec![planned(2, "below", &[], false), planned(2, "top", &["below"], true)]);
    let [Effect::Ask { publish: first, .. }, Effect::Offer { offer: below, .. }] = &farm.advance(Input::Dispatch).effects[..]
    else {
        panic!("one is asked for, and one offered")
    };
    bring(&mut farm, agent, below, &[]);
    let top = farm.offers().remove(0);
    bring(&mut farm, agent, &top, &["below"]);
    farm.wish(2, Wished::Priority(1), &[], &[build(2, "top")]);
    farm.later(10_000);
    farm.advance(Input::Published(Done { publication: first.publication, verdict: PublishVerdict::Published }));
    let published: Vec<String> = [first.path.name().to_owned()].into_iter().chain(publish_all(&mut farm)).collect();
    assert_eq!(published, ["first", "below", "top", "second"]);
}

#[test]
fn what_waits_for_lost_references_takes_no_room_from_what_brings_them() {
    let mut farm = Farm::with(Limits { asked_at_once: 1, ..Limits::default() });
    farm.advance(Input::CaughtUp);
    let agent = farm.agent(1, 5);
    farm.submit(1, ["needy", "other"].map(|name| planned(1, name, &[], true)).into());
    farm.offers().iter().for_each(|offer| bring(&mut farm, agent, offer, &[]));
    let [needy] = &asked(&mut farm)[..] else { panic!("one is asked for") };
    assert!(asked(&mut farm).is_empty());
    let verdict = PublishVerdict::ReferencesMissing { missing: vec![path("lost")] };
    farm.advance(Input::Published(Done { publication: needy.publication, verdict }));
    let [other] = &asked(&mut farm)[..] else { panic!("the other is asked for") };
    assert_ne!(other.path, needy.path);
    farm.advance(Input::Published(Done { publication: other.publication, verdict: PublishVerdict::Published }));
    assert!(asked(&mut farm).is_empty(), "not at once again");
    farm.later(60_000);
    let again = asked(&mut farm);
    assert_eq!(again.iter().map(|publish| &publish.path).collect::<Vec<_>>(), [&needy.path]);
}

#[test]
fn what_could_be_asked_for_waits_again_when_what_it_refers_to_is_lost() {
    let mut farm = Farm::with(Limits { asked_at_once: 2, ..Limits::default() });
    farm.advance(Input::CaughtUp);
    let agent = farm.agent(1, 5);
    farm.submit(1, ["one", "two"].map(|name| planned(1, name, &[], true)).into());
    farm.offers().iter().for_each(|offer| bring(&mut farm, agent, offer, &[]));
    let before = asked(&mut farm);
    assert_eq!(before.len(), 2, "there is no room for more");
    farm.submit(2, vec![planned(2, "below", &[], false), planned(2, "top", &["below"], true)]);
    // A reference that is told twice is one.
    for references in [&[][..], &["below", "below"]] {
        let offer = farm.offers().remove(0);
        bring(&mut farm, agent, &offer, references);
    }
    for there in [true, false] {
        farm.advance(Input::Confirmed {
            store_dir: before[0].store_dir.clone(),
            items: vec![(path("below"), there)],
            missed_by: None,
        });
    }
    for Publish { publication, .. } in before {
        farm.advance(Input::Published(Done { publication, verdict: PublishVerdict::Published }));
    }
    assert_eq!(publish_all(&mut farm), ["below", "top"]);
}

#[test]
fn of_large_ones_there_are_few_at_once() {
    let mut farm = Farm::with(Limits { asked_at_once: 4, large_asked_at_once: 1, ..Limits::default() });
    farm.advance(Input::CaughtUp);
    let agent = farm.agent(1, 5);
    let names = ["1-small", "2-large", "3-large", "4-small"];
    farm.submit(1, names.map(|name| planned(1, name, &[], true)).into());
    let mut offers = farm.offers();
    offers.sort_by(|one, other| one.drv.name_without_drv().cmp(other.drv.name_without_drv()));
    offers.iter().for_each(|offer| bring(&mut farm, agent, offer, &[]));
    let asked_now = |farm: &mut Farm| asked(farm).into_iter().map(|publish| (publish.path.name().to_owned(), publish)).unzip();
    let (first, publishes): (Vec<String>, Vec<Publish>) = asked_now(&mut farm);
    assert_eq!(first, names[..2]);
    farm.advance(Input::Published(Done { publication: publishes[1].publication, verdict: PublishVerdict::Published }));
    let (second, _): (Vec<String>, Vec<Publish>) = asked_now(&mut farm);
    assert_eq!(second, names[2..]);
}
