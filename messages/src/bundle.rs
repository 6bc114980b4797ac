//! Several messages that travel as one: `{"v":1,"kind":"bundle","body":[{"to":…,"message":…},…]}`. What a broker does for a
//! message it does once for all of them.
//!
//! A bundle says nothing itself. Whoever reads one takes it apart and goes on as if each had come by itself.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::envelope::{self, DecodeError};

/// What it is called in its envelope.
pub const KIND: &str = "bundle";
const VERSION: u16 = 1;

/// One message of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What its subject has, where that of the bundle says `bundle`.
    pub to: String,
    /// The message, in an envelope of its own.
    pub message: Bytes,
}

/// Writes a bundle.
pub fn encode(parts: &[Part]) -> Bytes {
    envelope::write(VERSION, KIND, &parts)
}

/// Reads a bundle.
pub fn decode(bytes: &[u8]) -> Result<Vec<Part>, DecodeError> {
    envelope::read_body(bytes, envelope::Format::MessagePack, KIND, VERSION)
}

/// For people: with the messages in it as JSON.
pub(crate) fn to_json(bytes: &[u8]) -> Result<Value, DecodeError> {
    let shown = |part: Part| Ok(json!({ "to": part.to, "message": envelope::to_json(&part.message)? }));
    let parts = decode(bytes)?.into_iter().map(shown).collect::<Result<Vec<Value>, DecodeError>>()?;
    Ok(json!({ "v": VERSION, "kind": KIND, "body": parts }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Problem;

    fn parts() -> Vec<Part> {
        let message = |words: &str| crate::encode(&Problem { message: words.into() });
        vec![Part { to: "a".into(), message: message("one") }, Part { to: "b".into(), message: message("two") }]
    }

    #[test]
    fn a_bundle_is_written_in_the_bytes_that_were_agreed() {
        let part = Part { to: "a".into(), message: Bytes::from_static(b"\xc0") };
        let agreed = b"\x83\xa1v\x01\xa4kind\xa6bundle\xa4body\x91\x82\xa2to\xa1a\xa7message\xc4\x01\xc0";
        assert_eq!(encode(std::slice::from_ref(&part)), agreed.as_slice());
        assert_eq!(decode(agreed).unwrap(), [part]);
    }

    #[test]
    fn a_bundle_is_shown_with_the_messages_in_it() {
        let shown = envelope::to_json(&encode(&parts())).unwrap();
        assert_eq!(shown["body"][1]["to"], "b");
        assert_eq!(shown["body"][1]["message"]["body"]["message"], "two");
    }

    #[test]
    fn what_is_no_bundle_is_told_apart() {
        assert!(matches!(decode(&parts()[0].message), Err(DecodeError::Kind { expected: KIND, .. })));
        let newer = envelope::write(VERSION + 1, KIND, &parts());
        assert!(matches!(decode(&newer), Err(DecodeError::Version { got: 2, max: 1, .. })));
        assert!(decode(b"rubbish").is_err());
    }
}
