//! The framing that `nix-daemon` and `guix-daemon` share, and the bounds on all that is read.
//!
//! Every number is a 64-bit little-endian integer; a string is its length, its bytes and zeros up to a
//! multiple of eight; a list is its length and its items. This module does not know any operation.
//! Source: `src/libutil/serialise.cc` and `src/libstore/worker-protocol.hh` of Nix.

mod frame;
mod framed;
mod reader;
mod request;

pub(crate) use frame::{ERROR, Frame, Refusal, Told, message, read_error, read_frame, read_message};
pub(crate) use framed::{Sent, send_framed};
pub use reader::Reader;
pub use request::Request;

/// The longest string accepted from a daemon, where none shorter is demanded.
pub const MAX_STRING_BYTES: u64 = 1 << 20;
/// The longest store path accepted, absolute; a name in the store can have 211 bytes.
pub const MAX_PATH_BYTES: u64 = 1 << 10;
/// The longest hash, signature or content address accepted, in bytes.
pub const MAX_WORD_BYTES: u64 = 4 << 10;
/// The longest list accepted from a daemon.
pub const MAX_LIST_ITEMS: u64 = 1 << 18;
/// What is kept of one log line, one text frame or one activity's name; the rest is skipped.
pub const MAX_LOG_TEXT_BYTES: u64 = 64 << 10;
/// The longest text that may be skipped: more is taken for a broken stream.
pub const MAX_SKIPPED_BYTES: u64 = 256 << 20;
/// The most fields that an activity may carry.
pub const MAX_ACTIVITY_FIELDS: u64 = 64;
/// The most traces that an error may carry.
pub const MAX_ERROR_TRACES: u64 = 1 << 12;
/// How much is read at once from a daemon.
pub const READ_BUFFER_BYTES: usize = 64 << 10;
/// How much of a stream is put into one write to a daemon.
pub const WRITE_BUFFER_BYTES: usize = 64 << 10;
