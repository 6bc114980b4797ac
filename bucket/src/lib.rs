//! The bucket: where the bytes of the farm lie, whichever object store keeps them.
//!
//! The crate knows where each thing lies ([`Key`]), who may put what where ([`Corner`]), and how an object appears
//! whole or not at all, once. It knows nothing of what the bytes mean: who verifies them, and when, is said elsewhere.

mod hash_part;
mod key;
mod corner;

mod error;
mod location;
mod bucket;
mod object;
mod upload;
mod sweep;
mod generation;

pub use corner::Corner;
pub use hash_part::HashPart;
pub use key::{Compression, Key, KeyError};

pub use bucket::{Bucket, CALL_TIMEOUT_SECS, Put};
pub use error::BucketError;
pub use object::{IDLE_TIMEOUT_SECS, Object};
pub use upload::{PART_BYTES, PARTS_IN_FLIGHT, Upload};
