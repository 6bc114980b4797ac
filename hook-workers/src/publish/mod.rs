//! The pool `publish`: turns bytes that somebody uploaded into a signed substitute, or refuses them.
//!
//! [`verify`] looks at bytes and knows of no bucket; [`Publisher`] moves them and knows of no broker; [`run`] takes
//! requests from the broker and gives the word back. Whatever step a worker dies at, the next one to have the request
//! begins anew and comes to the same.
//!
//! [`Keys`] alone knows how Nix's and Guix's substitutes differ in their signatures, [`Packing`] in their compressions.
//! Beside items a cache has a probe, the logs of builds, and derivations where they are asked for.

mod unzip;
mod mask;
mod content;
mod refusal;
pub mod verify;

mod keys;
mod packing;
mod available;
mod shelf;
mod introduction;

mod stop;
mod carry;
mod repack;
mod log;
mod packs;
mod recipes;
mod publisher;

mod fence;
mod verdicts;
mod pool;

pub use available::{Available, MAX_REMEMBERED};
pub use carry::INLINE_BYTES;
pub use content::ContentDigest;
pub use fence::Fence;
pub use keys::{KeyFileError, Keys, NoKey};
pub use log::MAX_SHOWN_LOG_BYTES;
pub use packing::Packing;
pub use pool::{Pool, RETRY_SECS, run};
pub use publisher::{Limits, Publisher};
pub use recipes::Served;
pub use refusal::Refusal;
pub use stop::PublishError;
pub use unzip::{MAX_WINDOW_LOG, Unzip};
