//! The text form of a derivation: `Derive([outputs],[drvs],[sources],system,builder,[args],[env])`, as Nix and Guix write it.
//!
//! Nix's own reader takes more than its writer gives (any escape, any order). Ours takes exactly what a writer gives, so that
//! reading and writing again is the identity, and two readers never disagree about what was hashed.

mod error;
mod read;
mod write;

pub use error::{DrvFault, DrvParseError};
pub use read::MAX_DRV_BYTES;

pub(crate) use read::read;
pub(crate) use write::{ReplacedInputs, write, write_modulo};
