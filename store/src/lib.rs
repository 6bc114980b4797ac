//! The formats of the Guix and Nix world, exact and fast: the one place in Drover that knows what a store path, a `.drv`,
//! a nar or a narinfo looks like.
//!
//! Everything here is pure: bytes in, values out, and back. The only I/O is the file system under a path that the caller
//! names, when a nar is made from it or unpacked to it. Nothing here knows about daemons, buckets, or messages.
//!
//! What is parsed is valid: a [`StorePath`] that exists is well formed, a [`Derivation`] that was read is canonical, and
//! [`verify()`] says whether its names are true.

mod error;
mod text;
mod store_dir;
mod store_path;
mod drv_path;

pub mod nix32;
pub mod hex;
mod hash;
mod digest;

mod content_address;
mod compute;

mod output;
mod derivation;
mod aterm;
mod modulo;
mod verify;

pub mod nar;
mod references;

mod signature;
pub mod guix;
mod narinfo;

mod pack;

pub use drv_path::DrvPath;
pub use error::ParseError;
pub use store_dir::{Family, StoreDir};
pub use store_path::{HASH_PART_CHARS, MAX_NAME_BYTES, StorePath};

pub use digest::{Digest, HashAlgo};
pub use hash::{Sha256, Sha256Hasher};

pub use compute::{fixed_output_path, output_path, source_path, text_path};
pub use content_address::ContentAddress;

pub use aterm::{DrvFault, DrvParseError, MAX_DRV_BYTES};
pub use derivation::Derivation;
pub use modulo::{DrvHashes, Modulo, ModuloError};
pub use output::{FixedHash, Output, OutputName};
pub use verify::{Fault, Named, Verified, Verifier, VerifyError, verify, verify_all};

pub use nar::{HashingWriter, NarSummary};
pub use references::RefScanner;

pub use narinfo::{MAX_NARINFO_BYTES, NarFile, NarInfo};
pub use signature::{PublicKey, SecretKey, Signature};

pub use pack::{MAX_PACK_ENTRIES, MAX_PACK_RAW_BYTES, PACK_SOFT_BYTES, Pack, PackError, PackId, PackWriter};
