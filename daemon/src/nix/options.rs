//! The settings of a connection.

use super::channel::within;
use super::{Connection, operation};
use crate::DaemonError;
use crate::wire::Request;

/// How the daemon is to build and substitute for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether paths may be fetched from the daemon's substituters. With it a daemon that is asked to
    /// build fetches the outputs instead when some server has them.
    pub substitute: bool,
    /// What builds see as NIX_BUILD_CORES. Give the real number: `make -j0` does not mean "all".
    pub cores: u64,
    /// After how many seconds without a word a builder is stopped; 0 for never.
    pub max_silent_secs: u64,
    /// After how many seconds a builder is stopped; 0 for never.
    pub build_timeout_secs: u64,
    /// Whether the directory of a failed build is kept.
    pub keep_failed: bool,
    /// Other settings of `nix.conf` by name. A daemon that does not trust the user ignores most of them.
    pub overrides: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { substitute: false, cores: 1, max_silent_secs: 0, build_timeout_secs: 0, keep_failed: false, overrides: Vec::new() }
    }
}

impl Connection {
    /// Changes the settings of this connection; they hold until changed again.
    pub async fn set_options(&mut self, options: &Options) -> Result<(), DaemonError> {
        let request = options.request();
        let limit = self.reply_timeout();
        let channel = self.begin()?;
        let outcome = within(limit, "a change of options", channel.call(&request)).await;
        self.end(outcome)
    }
}

impl Options {
    fn request(&self) -> Request {
        let mut request = Request::new(operation::SET_OPTIONS);
        request.flag(self.keep_failed);
        request.flag(false); // keep going: we ask for one derivation at a time
        request.flag(false); // fall back to building: what to build is decided elsewhere
        request.number(0); // verbosity: errors only; log lines come anyway
        request.number(1); // jobs of this connection
        request.number(self.max_silent_secs);
        request.flag(false); // build hook: obsolete
        request.number(0); // verbosity of builders
        request.number(0).number(0); // log type, build trace: obsolete
        request.number(self.cores);
        request.flag(self.substitute);
        request.number(1 + self.overrides.len() as u64);
        request.bytes("timeout").bytes(self.build_timeout_secs.to_string());
        for (name, value) in &self.overrides {
            request.bytes(name).bytes(value);
        }
        request
    }
}
