//! Every subject, written and read back.

use super::*;

const ID: &str = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";

fn id<T: FromStr>() -> T
where
    T::Err: fmt::Debug,
{
    ID.parse().unwrap()
}

fn every_subject() -> Vec<(Subject, String)> {
    vec![
        (Subject::Submit { client: id(), submission: id() }, format!("req.submit.{ID}.{ID}")),
        (Subject::Wish { verb: WishVerb::Cancel, client: id(), wish: id() }, format!("req.cancel.{ID}.{ID}")),
        (Subject::AdminWish { verb: WishVerb::Priority, client: id(), wish: id() }, format!("adm.priority.{ID}.{ID}")),
        (Subject::AskPool { pool: Pool::substitutes() }, "rpc.pool.substitutes".into()),
        (Subject::Report { agent: id(), build: id() }, format!("res.{ID}.{ID}")),
        (Subject::Done { pool: Pool::publish(), publication: id() }, format!("done.publish.{ID}")),
        (Subject::Work { agent: id() }, format!("work.{ID}")),
        (Subject::Abort { agent: id() }, format!("ctl.agent.{ID}.abort")),
        (Subject::Hello { agent: id() }, format!("rpc.agent.{ID}.hello")),
        (Subject::Beat { agent: id() }, format!("rpc.agent.{ID}.beat")),
        (Subject::Query(Query::Missing), "rpc.query.missing".into()),
        (Subject::Admin(Admin::LoginNew), "rpc.admin.login-new".into()),
        (Subject::Publish { urgency: Urgency(3), publication: id() }, format!("publish.3.{ID}")),
        (Subject::Event { noun: Noun::Build, id: ID.into(), verb: "failed".into() }, format!("ev.build.{ID}.failed")),
        (Subject::Log { agent: id(), build: id(), attempt: id() }, format!("log.{ID}.{ID}.{ID}")),
        (Subject::Dead { stream: "REQ".into(), sequence: 17 }, "dead.REQ.17".into()),
    ]
}

#[test]
fn every_subject_is_written_as_the_table_says_and_read_back() {
    for (subject, text) in every_subject() {
        assert_eq!(subject.to_string(), text);
        assert_eq!(text.parse(), Ok(subject));
    }
}

#[test]
fn a_subject_has_one_spelling() {
    let upper = ID.to_uppercase();
    let bare = ID.replace('-', "");
    for other in [format!("work.{upper}"), format!("work.{bare}"), format!("publish.03.{ID}"), format!("publish.+3.{ID}")] {
        assert_eq!(other.parse::<Subject>(), Err(SubjectError(other.clone())), "{other}");
    }
}

#[test]
fn wildcards_empty_tokens_and_strangers_are_no_subjects() {
    for text in ["", ".", "work", "work.", "work.*", "work.>", "work.a1", "ev.build..failed", "ev.build.a b.failed", "foo.bar"] {
        assert!(text.parse::<Subject>().is_err(), "{text}");
    }
}

#[test]
fn an_item_goes_by_its_hash_alone() {
    let path: drover_store::StorePath = "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello-2.12.1".parse().unwrap();
    let event = Event {
        id: drover_messages::event::EventId { generation: 1, record: 2, index: 0 },
        at: drover_messages::Timestamp(0),
        what: What::ItemAvailable { store_dir: drover_store::StoreDir::nix(), path },
    };
    assert_eq!(Subject::of_event(&event).to_string(), "ev.item.0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx.available");
}

#[test]
fn what_is_told_of_several_names_none_of_them() {
    let event = Event {
        id: drover_messages::event::EventId { generation: 1, record: 2, index: 0 },
        at: drover_messages::Timestamp(0),
        what: What::BuildsLeased { leases: Vec::new() },
    };
    let subject = Subject::of_event(&event);
    assert_eq!(subject.to_string(), "ev.build.several.leased");
    assert_eq!(subject.to_string().parse(), Ok(subject));
}

#[test]
fn a_pool_that_would_break_a_subject_cannot_be_named() {
    for name in ["", "a.b", "*", "Publish", "a b", &"x".repeat(MAX_TOKEN_BYTES + 1)] {
        assert!(name.parse::<Pool>().is_err(), "{name}");
    }
}
