//! Who may publish what, and listen to what. The server checks it, so a message's subject proves who sent it.

use std::fmt;

use drover_messages::admin::Role;
use drover_messages::{AgentId, ClientId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::bus::inbox;
use crate::streams::{DEAD, EVENTS, LOGS, OWED, PUBLISH, hook_consumer};
use crate::{Filter, Pool};

/// Somebody with a login.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A build machine.
    Agent(AgentId),
    /// Somebody who submits and looks.
    Client(ClientId),
    /// Somebody who also administers.
    Admin(ClientId),
    /// The scheduler.
    Scheduler,
    /// The workers that verify and publish. They share a login.
    Publish,
    /// The workers of one hook pool. They share a login.
    Hook(Pool),
    /// Whoever makes the server read its logins again. In an account of its own.
    System,
}

impl Who {
    /// Somebody new, of a role.
    pub fn of(role: Role, id: Uuid) -> Self {
        match role {
            Role::Agent => Self::Agent(AgentId::from_uuid(id)),
            Role::Client => Self::Client(ClientId::from_uuid(id)),
            Role::Admin => Self::Admin(ClientId::from_uuid(id)),
        }
    }

    /// The login's user: one token of a subject.
    pub fn user(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => agent.fmt(f),
            Self::Client(client) | Self::Admin(client) => client.fmt(f),
            Self::Scheduler => f.write_str("scheduler"),
            Self::Publish => f.write_str("publish"),
            Self::Hook(pool) => write!(f, "hook-{pool}"),
            Self::System => f.write_str("system"),
        }
    }
}

/// What a login may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects it may publish on.
    pub publish: Vec<String>,
    /// Subjects it may listen to.
    pub subscribe: Vec<String>,
    /// Whether it may answer each request it gets, once.
    pub respond: bool,
}

/// What `who` may do; `None` is everything.
pub fn permissions(who: &Who) -> Option<Permissions> {
    let own = format!("{}.>", inbox(&who.user()));
    let mut permissions = match who {
        Who::Agent(agent) => of_agent(*agent),
        Who::Client(client) => of_client(*client),
        Who::Admin(client) => of_admin(*client),
        Who::Publish => Permissions {
            publish: [reading(OWED, PUBLISH), vec![Filter::DoneBy(Pool::publish()).to_string(), setting_aside(OWED)]].concat(),
            subscribe: Vec::new(),
            respond: false,
        },
        Who::Hook(pool) => Permissions {
            publish: [
                reading(EVENTS, &hook_consumer(pool)),
                vec![Filter::DoneBy(pool.clone()).to_string(), setting_aside(EVENTS), Filter::Queries.to_string()],
            ]
            .concat(),
            // It may be asked things, as a micro service.
            subscribe: vec![Filter::QuestionsTo(pool.clone()).to_string(), "$SRV.>".into()],
            respond: true,
        },
        Who::Scheduler | Who::System => return None,
    };
    permissions.publish.push(own.clone());
    permissions.subscribe.push(own);
    Some(permissions)
}

fn of_agent(agent: AgentId) -> Permissions {
    Permissions {
        publish: words([Filter::CallsOf(agent), Filter::ReportsOf(agent), Filter::LogsBy(agent)]),
        subscribe: words([Filter::WorkOf(agent), Filter::OrdersOf(agent), Filter::OrdersToAll]),
        respond: true,
    }
}

/// Stored messages are read one by one, so nobody who only looks can make, move or empty a consumer.
fn of_client(client: ClientId) -> Permissions {
    let mut publish = words([Filter::RequestsOf(client), Filter::Queries]);
    publish.extend([EVENTS, LOGS].map(|stream| format!("$JS.API.DIRECT.GET.{stream}")));
    Permissions { publish, subscribe: words([Filter::Events, Filter::Logs]), respond: false }
}

/// An administrator may look at everything with the `nats` tool, whose answers come on its own inbox. Nobody may send
/// in the name of another.
fn of_admin(client: ClientId) -> Permissions {
    let mut permissions = of_client(client);
    permissions.publish.extend(words([Filter::Administration, Filter::AdminRequestsOf(client)]));
    let looking = [
        "$SRV.>",
        "$JS.ACK.>",
        "$JS.API.INFO",
        "$JS.API.DIRECT.GET.>",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.CONSUMER.NAMES.*",
        "$JS.API.CONSUMER.LIST.*",
        "$JS.API.CONSUMER.INFO.>",
        "$JS.API.CONSUMER.CREATE.>",
        "$JS.API.CONSUMER.DELETE.>",
        "$JS.API.CONSUMER.MSG.NEXT.>",
    ];
    permissions.publish.extend(looking.map(String::from));
    let carried = [Filter::Requests, Filter::AdminRequests, Filter::AllReports, Filter::Done, Filter::Owed, Filter::Dead];
    permissions.subscribe.extend(words(carried));
    permissions.subscribe.extend(["$SRV.>", "$JS.EVENT.>", "_INBOX.>"].map(String::from));
    permissions
}

/// To read from a durable consumer that somebody else has made. The server has two forms of acknowledgement.
fn reading(stream: &str, consumer: &str) -> Vec<String> {
    vec![
        format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
        format!("$JS.ACK.{stream}.{consumer}.>"),
        format!("$JS.ACK.*.*.{stream}.{consumer}.>"),
    ]
}

fn setting_aside(stream: &str) -> String {
    format!("{}.{stream}.*", DEAD.to_lowercase())
}

fn words<const N: usize>(filters: [Filter; N]) -> Vec<String> {
    filters.iter().map(Filter::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::overlap;
    use crate::subject::Urgency;
    use crate::{Query, Subject};

    const A: &str = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
    const B: &str = "0193a1b2-c3d4-7e5f-8a6b-000000000000";

    fn may_publish(who: &Who, subject: &Subject) -> bool {
        permissions(who).unwrap().publish.iter().any(|allowed| overlap(allowed, &subject.to_string()))
    }

    #[test]
    fn an_agent_speaks_in_its_own_name_alone() {
        let (agent, other): (AgentId, AgentId) = (A.parse().unwrap(), B.parse().unwrap());
        let (build, attempt) = (A.parse().unwrap(), A.parse().unwrap());
        let who = Who::Agent(agent);
        for (id, allowed) in [(agent, true), (other, false)] {
            let subjects = [
                Subject::Report { agent: id, build },
                Subject::Hello { agent: id },
                Subject::Beat { agent: id },
                Subject::Log { agent: id, build, attempt },
            ];
            for subject in subjects {
                assert_eq!(may_publish(&who, &subject), allowed, "{subject}");
            }
        }
    }

    #[test]
    fn nobody_but_the_publish_pool_says_that_something_is_published() {
        let done = Subject::Done { pool: Pool::publish(), publication: A.parse().unwrap() };
        let (agent, client) = (A.parse().unwrap(), A.parse().unwrap());
        let others = [Who::Agent(agent), Who::Client(client), Who::Admin(client), Who::Hook("retry".parse().unwrap())];
        assert!(may_publish(&Who::Publish, &done));
        for who in others {
            assert!(!may_publish(&who, &done), "{who:?}");
        }
    }

    #[test]
    fn only_the_scheduler_offers_work_and_owes_publications() {
        let client = A.parse().unwrap();
        for who in [Who::Agent(A.parse().unwrap()), Who::Client(client), Who::Admin(client), Who::Publish] {
            assert!(!may_publish(&who, &Subject::Work { agent: A.parse().unwrap() }), "{who:?}");
            let owed = Subject::Publish { urgency: Urgency(0), publication: A.parse().unwrap() };
            assert!(!may_publish(&who, &owed), "{who:?}");
        }
    }

    #[test]
    fn agents_ask_no_questions_about_builds_and_clients_administer_nothing() {
        assert!(!may_publish(&Who::Agent(A.parse().unwrap()), &Subject::Query(Query::Builds)));
        let new_login = Subject::Admin(crate::Admin::LoginNew);
        assert!(!may_publish(&Who::Client(A.parse().unwrap()), &new_login));
        assert!(may_publish(&Who::Admin(A.parse().unwrap()), &new_login));
    }
}
