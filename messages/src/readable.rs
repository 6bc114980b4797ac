//! Any message as JSON. The kind in the envelope says which shape to read, so that ids, hashes and paths come out
//! as people write them.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::envelope::{DecodeError, Format, Message, decode};
use crate::{admin, agent, bundle, event, offer, publish, query, report, request, substitutes, why, wish};

macro_rules! kinds {
    ($kind:expr, $bytes:expr; $($message:ty),+ $(,)?) => {
        match $kind {
            $(<$message>::KIND => shown::<$message>($bytes),)+
            bundle::KIND => bundle::to_json($bytes),
            _ => unknown($bytes),
        }
    };
}

pub(crate) fn to_json(kind: &str, bytes: &[u8]) -> Result<Value, DecodeError> {
    kinds!(kind, bytes;
        request::Submit, request::SourceManifest, wish::Wish,
        report::Report, offer::Offer, offer::OfferAnswer,
        agent::Drain, agent::Drained, agent::Hello, agent::Beat, agent::BeatAnswer, agent::Abort,
        publish::Publish, publish::Done, event::Event,
        substitutes::AskElsewhere, substitutes::Elsewhere,
        query::AskMissing, query::Missing, query::AskSubmission, query::SubmissionAnswer,
        query::AskBuilds, query::Builds, query::AskBuild, query::BuildAnswer,
        query::AskAgents, query::Agents, query::Problem, why::AskWhy, why::WhyAnswer,
        admin::NewLogin, admin::TakeSnapshot, admin::Snapshot, admin::NewPassword, admin::LoginAnswer, admin::Dispose, admin::Disposed,
    )
}

fn shown<M: Message>(bytes: &[u8]) -> Result<Value, DecodeError> {
    let message: M = decode(bytes, Format::MessagePack)?;
    Ok(json!({ "v": M::VERSION, "kind": M::KIND, "body": serde_json::to_value(message)? }))
}

/// A kind of another program: shown as it stands, with bytes as hex.
fn unknown(bytes: &[u8]) -> Result<Value, DecodeError> {
    crate::envelope::read::<Shown>(bytes, Format::MessagePack).map(|shown| shown.0)
}

/// Anything that MessagePack can say, as JSON can say it.
struct Shown(Value);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Show).map(Self)
    }
}

struct Show;

impl<'de> Visitor<'de> for Show {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(value.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Shown(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((Shown(key), Shown(value))) = entries.next_entry()? {
            let key = key.as_str().map_or_else(|| key.to_string(), String::from);
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_another_program_is_shown_with_its_bytes_as_hex() {
        #[derive(serde::Serialize)]
        struct Stranger {
            v: u16,
            kind: &'static str,
            body: uuid::Uuid,
        }
        let id = uuid::Uuid::from_u128(0xab);
        let bytes = rmp_serde::to_vec_named(&Stranger { v: 1, kind: "stranger", body: id }).unwrap();
        assert_eq!(to_json("stranger", &bytes).unwrap()["body"], id.simple().to_string());
    }
}
