//! The pool `publish`: turns bytes that somebody uploaded into a signed substitute, or refuses them.
//!
//! [`verify`] looks at bytes and knows of no bucket; [`Publisher`] moves them and knows of no broker; [`run`] takes
//! requests from the broker and gives the word back. Whatever step a worker dies at, the next one to have the request
//! begins anew and comes to the same.

mod unzip;
mod content;
mod refusal;
pub mod verify;

mod available;
mod publisher;

mod fence;
mod pool;
mod keys;

pub use available::{Available, MAX_REMEMBERED};
pub use content::ContentDigest;
pub use fence::Fence;
pub use keys::{KeyFileError, read_keys};
pub use pool::{Pool, RETRY_SECS, run};
pub use publisher::{INLINE_BYTES, Limits, Publisher};
pub use refusal::Refusal;
pub use unzip::{MAX_WINDOW_LOG, Unzip};
