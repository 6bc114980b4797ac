//! What `contrib/` and `docs/` tell people to run: programs must know every flag, subcommand and variable that is named there.
//!
//! A command line is tried by the program itself, with `--help` behind it: what it would refuse, it refuses first.

#![allow(clippy::unwrap_used)]

mod told;

mod docs;
mod guix;
mod nixos;
mod systemd;
