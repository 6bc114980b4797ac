//! The pool `substitutes`: says what substitute servers beyond the farm's own have, so that nothing is built that can be
//! had. The scheduler asks; it speaks to no server itself.
//!
//! [`Lookup`] asks the servers and knows of no broker; [`run`] takes questions from the broker. What a server lacks is
//! asked again each time; what it has is believed for some minutes.

mod memory;
mod asked;
mod lookup;
mod trusted;
mod pool;

pub use lookup::Lookup;
pub use memory::{MAX_REMEMBERED, Memory, REMEMBERED_FOR};
pub use pool::run;
pub use trusted::{TrustError, read_guix_keys};
