//! What `drover-cache` answers, as the real program behind a real socket: to plain requests, and to a real Nix.

mod http;
mod requests;

mod real_nix;
