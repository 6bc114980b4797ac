//! Sets of subjects, for subscriptions, consumers and permissions: written in one place beside [`crate::Subject`].

use std::fmt;

use drover_messages::{AgentId, BuildId, ClientId, SubmissionId, WishId};

use crate::subject::{Noun, Pool};

/// A set of subjects that somebody listens to, or may publish on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All requests of all users.
    Requests,
    /// The requests of one user.
    RequestsOf(ClientId),
    /// What administrators want changed.
    AdminRequests,
    /// What one administrator wants changed.
    AdminRequestsOf(ClientId),
    /// The reports of all agents.
    AllReports,
    /// The reports of one agent.
    ReportsOf(AgentId),
    /// The word of all pools.
    Done,
    /// The word of one pool.
    DoneBy(Pool),
    /// Every publication that is owed.
    Owed,
    /// Every event.
    Events,
    /// All events of one kind of thing.
    EventsOf(Noun),
    /// The events of one submission.
    EventsOfSubmission(SubmissionId),
    /// The events of one build, but for leases that are told of several.
    EventsOfBuild(BuildId),
    /// The events of one wish.
    EventsOfWish(WishId),
    /// Every log.
    Logs,
    /// What one agent logs.
    LogsBy(AgentId),
    /// The logs of all attempts of one build.
    LogsOfBuild(BuildId),
    /// What was set aside.
    Dead,
    /// Offers to one agent.
    WorkOf(AgentId),
    /// Offers to all agents.
    Work,
    /// Orders to one agent.
    OrdersOf(AgentId),
    /// Orders to every agent.
    OrdersToAll,
    /// All orders.
    Orders,
    /// What one agent asks.
    CallsOf(AgentId),
    /// The hellos of all agents.
    Hellos,
    /// The beats of all agents.
    Beats,
    /// All questions.
    Queries,
    /// Questions to a pool.
    QuestionsTo(Pool),
    /// All of administration.
    Administration,
    /// Everything that is asked by request.
    Calls,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests => f.write_str("req.>"),
            Self::RequestsOf(client) => write!(f, "req.*.{client}.*"),
            Self::AdminRequests => f.write_str("adm.>"),
            Self::AdminRequestsOf(client) => write!(f, "adm.*.{client}.*"),
            Self::AllReports => f.write_str("res.*.*"),
            Self::ReportsOf(agent) => write!(f, "res.{agent}.*"),
            Self::Done => f.write_str("done.>"),
            Self::DoneBy(pool) => write!(f, "done.{pool}.*"),
            Self::Owed => f.write_str("publish.>"),
            Self::Events => f.write_str("ev.>"),
            Self::EventsOf(noun) => write!(f, "ev.{}.>", noun.as_str()),
            Self::EventsOfSubmission(id) => write!(f, "ev.{}.{id}.*", Noun::Submission.as_str()),
            Self::EventsOfBuild(id) => write!(f, "ev.{}.{id}.*", Noun::Build.as_str()),
            Self::EventsOfWish(id) => write!(f, "ev.{}.{id}.*", Noun::Wish.as_str()),
            Self::Logs => f.write_str("log.>"),
            Self::LogsBy(agent) => write!(f, "log.{agent}.*.*"),
            Self::LogsOfBuild(build) => write!(f, "log.*.{build}.*"),
            Self::Dead => f.write_str("dead.>"),
            Self::WorkOf(agent) => write!(f, "work.{agent}"),
            Self::Work => f.write_str("work.>"),
            Self::OrdersOf(agent) => write!(f, "ctl.agent.{agent}.*"),
            Self::OrdersToAll => f.write_str("ctl.all.*"),
            Self::Orders => f.write_str("ctl.>"),
            Self::CallsOf(agent) => write!(f, "rpc.agent.{agent}.*"),
            Self::Hellos => f.write_str("rpc.agent.*.hello"),
            Self::Beats => f.write_str("rpc.agent.*.beat"),
            Self::Queries => f.write_str("rpc.query.*"),
            Self::QuestionsTo(pool) => write!(f, "rpc.pool.{pool}"),
            Self::Administration => f.write_str("rpc.admin.*"),
            Self::Calls => f.write_str("rpc.>"),
        }
    }
}

/// Whether some subject matches both patterns.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(x), Some(y)) if x == y || x == "*" || y == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_where_one_subject_can_match_both() {
        for (a, b) in [("work.>", "work.a"), (">", "rpc.x"), ("*.a", "work.*"), ("a.b", "a.b"), ("work.*", "*.>")] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in [("work.>", "work"), ("res.*.*", "work.>"), ("a.b", "a.b.c"), ("a.*", "a.b.c"), ("ev.>", "rpc.>")] {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
    }

    #[test]
    fn nothing_that_a_stream_carries_overlaps_what_is_asked_by_request() {
        let carried =
            [Filter::Requests, Filter::AllReports, Filter::Done, Filter::Owed, Filter::Events, Filter::Logs, Filter::Dead];
        for stream in &carried {
            for asked in [Filter::Work, Filter::Orders, Filter::Calls] {
                assert!(!overlap(&stream.to_string(), &asked.to_string()), "{stream} {asked}");
            }
        }
    }
}
