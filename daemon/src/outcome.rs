//! How a build ended, as the daemon tells it.

use std::fmt;

/// What the daemon is to do with a derivation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildMode {
    /// Build it unless its outputs are valid.
    #[default]
    Normal,
    /// Build it again and replace outputs that are damaged.
    Repair,
    /// Build it again and compare with outputs that must be valid already.
    Check,
}

impl BuildMode {
    pub(crate) fn to_wire(self) -> u64 {
        match self {
            Self::Normal => 0,
            Self::Repair => 1,
            Self::Check => 2,
        }
    }
}

/// How a build ended; Nix's `BuildResult::Status`. What Guix does not say in so many words is read from its build trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildStatus {
    /// It was built.
    Built,
    /// Its outputs were substituted.
    Substituted,
    /// Its outputs were valid before.
    AlreadyValid,
    /// The builder failed.
    PermanentFailure,
    /// The derivation cannot be built as it is: an odd name, a wrong output path.
    InputRejected,
    /// An output is not what it must be, such as a fixed output with another hash.
    OutputRejected,
    /// It failed for a reason that may pass, such as a full disk.
    TransientFailure,
    /// It failed before. No longer used by Nix.
    CachedFailure,
    /// It was silent for too long, or took too long.
    TimedOut,
    /// The daemon could not build it: a missing input, no builder for its system, no build users.
    MiscFailure,
    /// Something that it depends on failed.
    DependencyFailed,
    /// It wrote too much log.
    LogLimitExceeded,
    /// Built again, it came out differently.
    NotDeterministic,
    /// It resolves to a derivation whose outputs are valid (content-addressed derivations).
    ResolvesToAlreadyValid,
    /// Nobody substitutes it and it may not be built.
    NoSubstituters,
    /// A status that this client does not know, by its number.
    Other(u64),
}

impl BuildStatus {
    /// Whether the outputs are valid now.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Built | Self::Substituted | Self::AlreadyValid | Self::ResolvesToAlreadyValid)
    }

    pub(crate) fn from_wire(code: u64) -> Self {
        match code {
            0 => Self::Built,
            1 => Self::Substituted,
            2 => Self::AlreadyValid,
            3 => Self::PermanentFailure,
            4 => Self::InputRejected,
            5 => Self::OutputRejected,
            6 => Self::TransientFailure,
            7 => Self::CachedFailure,
            8 => Self::TimedOut,
            9 => Self::MiscFailure,
            10 => Self::DependencyFailed,
            11 => Self::LogLimitExceeded,
            12 => Self::NotDeterministic,
            13 => Self::ResolvesToAlreadyValid,
            14 => Self::NoSubstituters,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for BuildStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Built => "built",
            Self::Substituted => "substituted",
            Self::AlreadyValid => "already valid",
            Self::PermanentFailure => "builder failed",
            Self::InputRejected => "derivation rejected",
            Self::OutputRejected => "output rejected",
            Self::TransientFailure => "transient failure",
            Self::CachedFailure => "failed before",
            Self::TimedOut => "timed out",
            Self::MiscFailure => "could not be built",
            Self::DependencyFailed => "dependency failed",
            Self::LogLimitExceeded => "too much log",
            Self::NotDeterministic => "not deterministic",
            Self::ResolvesToAlreadyValid => "resolves to valid outputs",
            Self::NoSubstituters => "no substituters",
            Self::Other(code) => return write!(f, "unknown status {code}"),
        })
    }
}

/// What the daemon says of a build that it tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildResult {
    /// How it ended.
    pub status: BuildStatus,
    /// Why it failed, in the daemon's words, without colours; empty after a success.
    pub message: String,
    /// How often it was built; newer daemons leave it 0.
    pub times_built: u64,
    /// When it started, in seconds since 1970; newer daemons leave it 0, so time builds yourself.
    pub started_unix_secs: u64,
    /// When it stopped, in seconds since 1970; newer daemons leave it 0.
    pub stopped_unix_secs: u64,
    /// Time on the processor in user mode, in microseconds; from protocol 1.37 on, and where cgroups are used.
    pub cpu_user_micros: Option<u64>,
    /// Time on the processor in the kernel, in microseconds; as [`BuildResult::cpu_user_micros`].
    pub cpu_system_micros: Option<u64>,
}

impl BuildResult {
    /// Of a daemon that tells no times.
    pub(crate) fn new(status: BuildStatus, message: String) -> Self {
        Self {
            status,
            message,
            times_built: 0,
            started_unix_secs: 0,
            stopped_unix_secs: 0,
            cpu_user_micros: None,
            cpu_system_micros: None,
        }
    }
}
