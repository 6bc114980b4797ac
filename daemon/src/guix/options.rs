//! The settings of a connection in the words of `guix-daemon`.

use super::{Connection, operation};
use crate::channel::within;
use crate::wire::Request;
use crate::{DaemonError, Options, ProtocolVersion, Substituters};

/// From this minor number on, jobs, cores and silence are told by name, so that a client can leave them out.
const NAMED_LIMITS_MINOR: u64 = 0x61;
/// What a connection that may fetch does at once: paths that others refer to come first, but not one by one.
const FETCHES: u64 = 4;

impl Connection {
    pub(super) async fn change_options(&mut self, options: &Options) -> Result<(), DaemonError> {
        let request = request(options, self.talk.protocol());
        let limit = self.talk.reply_timeout();
        let channel = self.talk.begin()?;
        let outcome = within(limit, "a change of options", channel.call(&request)).await;
        self.talk.end(outcome)?;
        self.options = Some(options.clone());
        Ok(())
    }
}

fn request(options: &Options, protocol: ProtocolVersion) -> Request {
    let by_number = protocol.minor() < NAMED_LIMITS_MINOR;
    let mut request = Request::new(operation::SET_OPTIONS);
    request.flag(options.keep_failed);
    request.flag(may_fetch(options)); // keep going: we ask for one derivation, but for many paths
    request.flag(false); // fall back to building: what to build is decided elsewhere
    request.number(0); // verbosity: what matters comes anyway
    if by_number {
        request.number(jobs(options)).number(options.max_silent_secs);
    }
    request.flag(false); // offload: to build elsewhere is our own affair
    request.number(0).number(0); // verbosity of builders, log type
    request.flag(true); // build trace: what becomes of each derivation
    if by_number {
        request.number(options.cores);
    }
    request.flag(may_fetch(options));
    let settings = settings(options, by_number);
    request.number(settings.len() as u64);
    for (name, value) in settings {
        request.bytes(name).bytes(value);
    }
    request
}

fn may_fetch(options: &Options) -> bool {
    options.substituters != Substituters::None
}

fn jobs(options: &Options) -> u64 {
    if may_fetch(options) { FETCHES } else { 1 }
}

/// What is said by name.
fn settings(options: &Options, by_number: bool) -> Vec<(&str, String)> {
    let mut settings = vec![
        // The progress of downloads for programs, which we pass over, not for people; in the log of a build it would be odd.
        ("print-extended-build-trace", u64::from(may_fetch(options)).to_string()),
        // Marks what a builder says, so that it cannot be taken for the daemon's own words.
        ("multiplexed-build-output", "true".to_owned()),
        ("build-timeout", options.build_timeout_secs.to_string()),
    ];
    if !by_number {
        settings.extend([
            ("build-max-silent-time", options.max_silent_secs.to_string()),
            ("build-max-jobs", jobs(options).to_string()),
            ("build-cores", options.cores.to_string()),
        ]);
    }
    if let Substituters::From { urls, .. } = &options.substituters {
        settings.push(("substitute-urls", urls.join(" ")));
    }
    settings.extend(options.overrides.iter().map(|(name, value)| (name.as_str(), value.clone())));
    settings
}
