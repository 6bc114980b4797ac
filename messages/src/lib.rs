//! Every message that crosses a process boundary in Drover, and nothing else.
//!
//! The crate knows shapes, names and limits. It knows no subjects, no streams, no clock and no I/O: who may send
//! a message, and where it travels, is said in `drover-nats`.

pub mod ids;
pub mod time;

pub mod envelope;
pub mod bundle;
mod readable;

pub mod cause;

pub mod admin;
pub mod holdings;
pub mod agent;
pub mod event;
pub mod offer;
pub mod placement;
pub mod publish;
pub mod query;
pub mod why;
pub mod records;
pub mod report;
pub mod request;
pub mod substitutes;
pub mod wish;

pub use cause::Cause;
pub use envelope::{DecodeError, Format, Message, decode, encode};
pub use holdings::{Fingerprint, Holdings};
pub use ids::{AgentId, AttemptId, BuildId, ClientId, Epoch, Generation, PublicationId, ReportId, StoreId, SubmissionId, WishId};
pub use time::Timestamp;
