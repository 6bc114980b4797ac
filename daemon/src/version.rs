//! Versions of the worker protocol, the two dialects of it, and which of them we speak.

use std::fmt;

use drover_store::StorePath;

/// Whose worker protocol it is. Both grew out of one and share the framing and some operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `nix-daemon`'s.
    Nix,
    /// `guix-daemon`'s.
    Guix,
}

impl Dialect {
    /// Where a check with [`Options::keep_failed`](crate::Options::keep_failed) leaves an output that came out
    /// differently: beside the one that is valid. `None` when that one's name is too long.
    pub fn differing(self, output: &StorePath) -> Option<StorePath> {
        let suffix = match self {
            Self::Nix => ".check",
            Self::Guix => "-check",
        };
        format!("{output}{suffix}").parse().ok()
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nix => "nix-daemon",
            Self::Guix => "guix-daemon",
        })
    }
}

/// A version of the worker protocol, such as 1.34.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProtocolVersion(u64);

impl ProtocolVersion {
    /// The oldest of Nix that we speak: Nix 2.8, Debian bookworm's.
    pub const OLDEST_NIX: Self = Self::new(1, 34);
    /// The newest of Nix that we announce. 1.38 adds an exchange of feature lists, which we do not need, so a
    /// newer daemon is answered with this.
    pub const NEWEST_NIX: Self = Self::new(1, 37);
    /// The oldest of Guix that we speak.
    pub const OLDEST_GUIX: Self = Self::new(1, 0x60);
    /// The newest of Guix that we announce: Guix 1.5.
    pub const NEWEST_GUIX: Self = Self::new(1, 0x64);

    /// Composes a version; both numbers are below 256.
    pub const fn new(major: u64, minor: u64) -> Self {
        Self(major << 8 | minor)
    }

    /// As it stands on the wire: `major << 8 | minor`.
    pub const fn from_wire(wire: u64) -> Self {
        Self(wire)
    }

    /// As it stands on the wire.
    pub const fn to_wire(self) -> u64 {
        self.0
    }

    /// The number before the dot.
    pub const fn major(self) -> u64 {
        self.0 >> 8
    }

    /// The number after the dot.
    pub const fn minor(self) -> u64 {
        self.0 & 0xff
    }

    /// Whose daemon announces this: Guix took numbers far above Nix's when it went its own way.
    pub const fn dialect(self) -> Dialect {
        if self.minor() >= Self::OLDEST_GUIX.minor() { Dialect::Guix } else { Dialect::Nix }
    }

    /// The version to speak with a daemon that announces `self`; an error says why there is none.
    pub(crate) fn negotiate(self) -> Result<Self, &'static str> {
        if self.major() != 1 {
            return Err("the major version is not 1");
        }
        match self.dialect() {
            Dialect::Nix if self < Self::OLDEST_NIX => Err("it is older than 1.34 (Nix 2.8)"),
            Dialect::Nix => Ok(self.min(Self::NEWEST_NIX)),
            Dialect::Guix => Ok(self.min(Self::NEWEST_GUIX)),
        }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_speak_the_daemons_version_up_to_our_newest() {
        assert_eq!(ProtocolVersion::new(1, 34).negotiate(), Ok(ProtocolVersion::new(1, 34)));
        assert_eq!(ProtocolVersion::new(1, 38).negotiate(), Ok(ProtocolVersion::NEWEST_NIX));
        assert_eq!(ProtocolVersion::from_wire(0x161).negotiate(), Ok(ProtocolVersion::from_wire(0x161)));
        assert_eq!(ProtocolVersion::from_wire(0x170).negotiate(), Ok(ProtocolVersion::NEWEST_GUIX));
    }

    #[test]
    fn old_and_foreign_versions_are_refused() {
        assert!(ProtocolVersion::new(1, 33).negotiate().is_err());
        assert!(ProtocolVersion::new(2, 40).negotiate().is_err());
        assert!(ProtocolVersion::from_wire(0x264).negotiate().is_err());
    }

    #[test]
    fn the_dialect_is_told_by_the_minor_number() {
        assert_eq!(ProtocolVersion::from_wire(0x126).dialect(), Dialect::Nix);
        assert_eq!(ProtocolVersion::from_wire(0x160).dialect(), Dialect::Guix);
    }

    #[test]
    fn a_version_reads_as_people_write_it() {
        assert_eq!(ProtocolVersion::from_wire(0x122).to_string(), "1.34");
    }
}
