//! A client of substitute servers, Guix's and Nix's alike: what a server has, who vouches for it, and the bytes.
//!
//! It believes nothing: a nar that comes out of here has the hash and the size that its narinfo promised, and whether
//! the narinfo is to be believed is asked of [`Trust`]. It knows no farm, no bucket and no store daemon, and keeps nothing.

mod error;
mod url;
mod retry;
mod transport;
mod compression;

mod cache_info;
mod body;
mod server;
mod fetch;
mod trust;

pub use self::url::ServerUrl;
pub use cache_info::CacheInfo;
pub use compression::Compression;
pub use error::SubstituterError;
pub use server::{NARS_AT_ONCE, QUESTIONS_AT_ONCE, Server};
pub use trust::Trust;
