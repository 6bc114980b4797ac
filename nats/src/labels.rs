//! The short headers that let `nats stream view` and `nats sub` be read without decoding bodies.
//!
//! They are for people. Nothing is decided by them, so they live here and not in the messages.

use std::any::Any;

use drover_messages::event::{Event, What};
use drover_messages::offer::Offer;
use drover_messages::publish::{Done, Origin, Publish, PublishVerdict};
use drover_messages::report::{Outcome, Report};
use drover_messages::request::Submit;

use crate::header::COUNT;

type Labels = Vec<(&'static str, String)>;

pub(crate) fn of(message: &dyn Any) -> Labels {
    fn when<M: Any>(message: &dyn Any, labels: fn(&M) -> Labels) -> Option<Labels> {
        message.downcast_ref::<M>().map(labels)
    }
    when(message, submit)
        .or_else(|| when(message, offer))
        .or_else(|| when(message, report))
        .or_else(|| when(message, publish))
        .or_else(|| when(message, done))
        .or_else(|| when(message, event))
        .unwrap_or_default()
}

fn submit(m: &Submit) -> Labels {
    let mut labels = vec![("Roots", m.roots.len().to_string())];
    labels.extend(m.roots.first().map(|root| ("Drv", root.drv.to_string())));
    labels
}

fn offer(m: &Offer) -> Labels {
    vec![
        ("Build", m.build.to_string()),
        ("Attempt", m.attempt.to_string()),
        ("Lease", m.epoch.to_string()),
        ("Drv", m.drv.to_string()),
    ]
}

fn report(m: &Report) -> Labels {
    let outcome = match &m.outcome {
        Outcome::Built(_) => "built".into(),
        Outcome::Uploaded(_) => "uploaded".into(),
        Outcome::Checked(_) => "checked".into(),
        Outcome::Failed(failed) => format!("failed: {}", failed.cause.words()),
    };
    vec![("Outcome", outcome), ("Attempt", m.attempt.to_string()), ("Lease", m.epoch.to_string())]
}

fn publish(m: &Publish) -> Labels {
    let origin = match &m.origin {
        Origin::Output { build, attempt, .. } => vec![("Build", build.to_string()), ("Attempt", attempt.to_string())],
        Origin::Source { submission, .. } => vec![("Submission", submission.to_string())],
    };
    [vec![("Path", m.path.to_string())], origin].concat()
}

fn done(m: &Done) -> Labels {
    let verdict = match &m.verdict {
        PublishVerdict::Published => "published",
        PublishVerdict::AlreadyThere => "already there",
        PublishVerdict::Differs { .. } => "differs",
        PublishVerdict::Refused { .. } => "refused",
        PublishVerdict::NarMissing => "nar missing",
        PublishVerdict::ReferencesMissing { .. } => "references missing",
    };
    vec![("Verdict", verdict.into())]
}

fn event(m: &Event) -> Labels {
    match &m.what {
        What::BuildLeased { agent, attempt, .. } => vec![("Agent", agent.to_string()), ("Attempt", attempt.to_string())],
        What::BuildsLeased { leases } => vec![(COUNT, leases.len().to_string())],
        What::ItemsAvailable { paths, .. } => vec![(COUNT, paths.len().to_string())],
        What::BuildPlaced { placement, .. } => {
            vec![("Agent", placement.chosen.agent.to_string()), ("Cost", placement.chosen.score.to_string())]
        }
        What::BuildSucceeded { agent, drv, .. } | What::BuildChecked { agent, drv, .. } => {
            vec![("Drv", drv.to_string()), ("Agent", agent.to_string())]
        }
        What::BuildFailed { agent, drv, cause, .. } => {
            vec![("Drv", drv.to_string()), ("Agent", agent.to_string()), ("Cause", cause.words().into())]
        }
        What::AttemptVoid { agent, cause, .. } => vec![("Agent", agent.to_string()), ("Cause", cause.words().into())],
        What::BuildBlocked { by, .. } => vec![("Blocked-By", by.to_string())],
        What::BuildReopened { item, .. } => vec![("Path", item.to_string())],
        What::BuildDiffers { path, .. }
        | What::ItemGivenUp { path, .. }
        | What::ItemAvailable { path, .. }
        | What::ItemLost { path, .. }
        | What::PublicationRefused { path, .. } => {
            vec![("Path", path.to_string())]
        }
        What::AgentQuarantined { why, .. } => vec![("Why", why.clone())],
        What::WishRefused { why, .. } => vec![("Why", why.clone())],
        What::AgentJoined { name, .. } => vec![("Name", name.clone())],
        _ => Vec::new(),
    }
}
