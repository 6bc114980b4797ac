//! The settings of a connection, in words of our own. Each dialect says them in its daemon's.

/// How the daemon is to build and substitute for one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where paths may be fetched from. With any, a daemon that is asked to build fetches the outputs instead
    /// when some server has them.
    pub substituters: Substituters,
    /// What builds see as NIX_BUILD_CORES. Give the real number: `make -j0` does not mean "all".
    pub cores: u64,
    /// After how many seconds without a word a builder is stopped; 0 for never.
    pub max_silent_secs: u64,
    /// After how many seconds a builder is stopped; 0 for never.
    pub build_timeout_secs: u64,
    /// Whether the directory of a failed build is kept, and of a check that differs, the output too.
    pub keep_failed: bool,
    /// Other settings in the daemon's own words: of `nix.conf`, or what `guix-daemon` takes from its clients. A
    /// daemon that does not trust the user ignores most of them.
    pub overrides: Vec<(String, String)>,
}

/// The servers that a daemon may ask for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Substituters {
    /// None: what is not in the store is built or missing.
    None,
    /// These, and no other.
    From {
        /// In order of preference.
        urls: Vec<String>,
        /// The keys that may have signed a path, as `name:base64`. For `nix-daemon` only: `guix-daemon` trusts those of
        /// its access control list, `/etc/guix/acl`, which no client can change.
        trusted_public_keys: Vec<String>,
    },
}

impl Default for Options {
    fn default() -> Self {
        Self {
            substituters: Substituters::None,
            cores: 1,
            max_silent_secs: 0,
            build_timeout_secs: 0,
            keep_failed: false,
            overrides: Vec::new(),
        }
    }
}
