//! Any message as JSON. The kind in the envelope says which shape to read, so that ids, hashes and paths come out
//! as people write them.

use serde_json::{Value, json};

use crate::envelope::{DecodeError, Format, Message, decode};
use crate::{admin, agent, event, offer, publish, query, report, request};

macro_rules! kinds {
    ($kind:expr, $bytes:expr; $($message:ty),+ $(,)?) => {
        match $kind {
            $(<$message>::KIND => shown::<$message>($bytes),)+
            _ => unknown($bytes),
        }
    };
}

pub(crate) fn to_json(kind: &str, bytes: &[u8]) -> Result<Value, DecodeError> {
    kinds!(kind, bytes;
        request::Submit, request::SourceManifest,
        report::Report, offer::Offer, offer::OfferAnswer,
        agent::Hello, agent::Beat, agent::BeatAnswer, agent::Abort,
        publish::Publish, publish::Done, event::Event,
        query::AskMissing, query::Missing, query::AskSubmission, query::SubmissionAnswer,
        query::AskBuilds, query::Builds, query::AskBuild, query::BuildAnswer,
        query::AskAgents, query::Agents, query::Problem,
        admin::NewLogin, admin::NewPassword,
    )
}

fn shown<M: Message>(bytes: &[u8]) -> Result<Value, DecodeError> {
    let message: M = decode(bytes, Format::MessagePack)?;
    Ok(json!({ "v": M::VERSION, "kind": M::KIND, "body": serde_json::to_value(message)? }))
}

/// A kind of another program: shown as it stands.
fn unknown(bytes: &[u8]) -> Result<Value, DecodeError> {
    crate::envelope::read(bytes, Format::MessagePack)
}
