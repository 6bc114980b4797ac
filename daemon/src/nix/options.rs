//! The settings of a connection in the words of `nix-daemon`.

use super::{Connection, operation};
use crate::channel::within;
use crate::wire::Request;
use crate::{DaemonError, Options, Substituters};

/// A daemon's process remembers which paths substituters have, and which not, for as long as the connection lives and
/// longer. Connections live long, and others change the caches meanwhile.
const REMEMBER_NOTHING: [(&str, &str); 2] = [("narinfo-cache-negative-ttl", "0"), ("narinfo-cache-positive-ttl", "0")];

impl Connection {
    pub(super) async fn change_options(&mut self, options: &Options) -> Result<(), DaemonError> {
        let request = request(options);
        let limit = self.talk.reply_timeout();
        let channel = self.talk.begin()?;
        let outcome = within(limit, "a change of options", channel.call(&request)).await;
        self.talk.end(outcome)?;
        self.options = Some(options.clone());
        Ok(())
    }
}

fn request(options: &Options) -> Request {
    let mut request = Request::new(operation::SET_OPTIONS);
    request.flag(options.keep_failed);
    request.flag(false); // keep going: we ask for one derivation at a time
    request.flag(false); // fall back to building: what to build is decided elsewhere
    request.number(0); // verbosity: errors only; log lines come anyway
    request.number(1); // jobs of this connection
    request.number(options.max_silent_secs);
    request.flag(false); // build hook: obsolete
    request.number(0); // verbosity of builders
    request.number(0).number(0); // log type, build trace: obsolete
    request.number(options.cores);
    request.flag(options.substituters != Substituters::None);
    let settings = settings(options);
    request.number(settings.len() as u64);
    for (name, value) in settings {
        request.bytes(name).bytes(value);
    }
    request
}

/// What is said by name, as in `nix.conf`.
fn settings(options: &Options) -> Vec<(&str, String)> {
    let mut settings = vec![("timeout", options.build_timeout_secs.to_string())];
    settings.extend(REMEMBER_NOTHING.map(|(name, value)| (name, value.to_owned())));
    if let Substituters::From { urls, trusted_public_keys } = &options.substituters {
        settings.extend([
            ("substituters", urls.join(" ")),
            ("trusted-public-keys", trusted_public_keys.join(" ")),
            ("require-sigs", "true".to_owned()),
        ]);
    }
    settings.extend(options.overrides.iter().map(|(name, value)| (name.as_str(), value.clone())));
    settings
}
