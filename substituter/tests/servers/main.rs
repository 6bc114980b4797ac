//! Servers of both kinds that tell the truth, lie, break off and fall silent, over real sockets and in folders.
#![allow(clippy::unwrap_used)]

mod answers;
mod nars;
mod site;
mod trust;
