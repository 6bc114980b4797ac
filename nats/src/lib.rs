//! How Drover's processes meet on NATS, and the only crate that knows async-nats.
//!
//! It knows subjects, streams, permissions and the broker's moods. What a message means, and what is decided by it,
//! it does not know. The broker carries and may forget: everything here can be lost and be made again.

mod subject;
pub use subject::{Admin, MAX_TOKEN_BYTES, Noun, Pool, Query, SEVERAL, Subject, SubjectError, Urgency, WishVerb};
mod filter;
pub use filter::Filter;

mod error;
pub use error::{NatsError, RequestError};
mod login;
pub use login::{Login, NatsArgs, read_password};
mod link;
pub use link::Link;
mod header;
mod labels;

mod bus;
pub use bus::{Acked, Acknowledgement, Bus};
mod incoming;
pub use incoming::{Incoming, Subscription};
mod log;
pub use log::{LogChunk, LogWriter};
mod replay;
pub use replay::Replay;
mod dead;
pub use dead::{Dead, DeadError, SetAside, Why};

pub mod reconcile;
pub mod streams;
pub use reconcile::{Declared, Reread, reconcile};
mod intake;
pub use intake::Intake;
mod delivery;
pub use delivery::Delivery;
mod in_turn;
pub use in_turn::Addressed;
mod lot;
pub use lot::{Lot, MAX_TOGETHER};
pub mod service;

pub mod logins;
pub mod permissions;
pub mod reload;
pub mod server;

#[cfg(feature = "testing")]
pub mod testing;
