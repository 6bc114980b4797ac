//! How a message is written: MessagePack with field names, in an envelope that names its kind and version.

use std::cell::RefCell;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The largest message, in bytes, that any process accepts: the broker's own limit.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Where messages are put together is kept from one to the next, up to so many bytes.
const MESSAGE_BYTES_KEPT: usize = 256 << 10;

/// Something that crosses a process boundary.
pub trait Message: Serialize + DeserializeOwned {
    /// Its name on the wire.
    const KIND: &'static str;
    /// The version this program writes, and the highest it reads. Say in a comment beside it why it grew.
    const VERSION: u16 = 1;
}

/// The two ways to write a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What Drover itself writes.
    MessagePack,
    /// What a person types; accepted where the header says so.
    Json,
}

/// Why bytes are not the message that was expected.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// More than [`MAX_MESSAGE_BYTES`].
    #[error("the message has {0} bytes, the limit is {MAX_MESSAGE_BYTES}")]
    TooLarge(usize),
    /// Another kind of message.
    #[error("expected a message of kind {expected:?}, got {got:?}")]
    Kind {
        /// What was asked for.
        expected: &'static str,
        /// What was there.
        got: String,
    },
    /// Written by a newer program.
    #[error("{kind} of version {got}: this program reads up to {max}")]
    Version {
        /// The message's kind.
        kind: &'static str,
        /// Its version.
        got: u16,
        /// The newest version that is understood here.
        max: u16,
    },
    /// Not MessagePack, or of another shape.
    #[error("not a readable message: {0}")]
    MessagePack(#[from] rmp_serde::decode::Error),
    /// Not JSON, or of another shape.
    #[error("not a readable message: {0}")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Outgoing<'a, M> {
    v: u16,
    kind: &'a str,
    body: &'a M,
}

#[derive(Deserialize)]
struct Head {
    v: u16,
    kind: String,
}

#[derive(Deserialize)]
struct Incoming<M> {
    body: M,
}

/// Writes a message as MessagePack.
///
/// # Panics
/// Never for the messages of this crate: their maps have string keys and their sizes are known.
pub fn encode<M: Message>(message: &M) -> Bytes {
    write(M::VERSION, M::KIND, message)
}

/// Reads a message, whose kind and version must fit.
pub fn decode<M: Message>(bytes: &[u8], format: Format) -> Result<M, DecodeError> {
    read_body(bytes, format, M::KIND, M::VERSION)
}

/// Writes an envelope, in no more bytes than it needs.
#[allow(clippy::expect_used)]
pub(crate) fn write<B: Serialize>(v: u16, kind: &str, body: &B) -> Bytes {
    thread_local! {
        static MESSAGE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    MESSAGE.with_borrow_mut(|message| {
        rmp_serde::encode::write_named(message, &Outgoing { v, kind, body }).expect("messages are plain data");
        let bytes = Bytes::copy_from_slice(message);
        message.clear();
        message.shrink_to(MESSAGE_BYTES_KEPT);
        bytes
    })
}

/// Reads what is in an envelope, of this kind and at most this version.
pub(crate) fn read_body<B: DeserializeOwned>(
    bytes: &[u8],
    format: Format,
    kind: &'static str,
    max: u16,
) -> Result<B, DecodeError> {
    let head: Head = read(bytes, format)?;
    if head.kind != kind {
        return Err(DecodeError::Kind { expected: kind, got: head.kind });
    }
    if head.v > max {
        return Err(DecodeError::Version { kind, got: head.v, max });
    }
    Ok(read::<Incoming<B>>(bytes, format)?.body)
}

/// Any message as JSON, for people: `{"v":…,"kind":…,"body":…}`. Bytes that only a machine reads are shown as hex.
pub fn to_json(bytes: &[u8]) -> Result<serde_json::Value, DecodeError> {
    let kind = read::<Head>(bytes, Format::MessagePack)?.kind;
    crate::readable::to_json(&kind, bytes)
}

pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], format: Format) -> Result<T, DecodeError> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    match format {
        Format::MessagePack => Ok(rmp_serde::from_slice(bytes)?),
        Format::Json => Ok(serde_json::from_slice(bytes)?),
    }
}
