//! Versions of the worker protocol, and which of them we speak.

use std::fmt;

/// A version of the worker protocol, such as 1.34.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProtocolVersion(u64);

impl ProtocolVersion {
    /// The oldest that we speak: Nix 2.8, Debian bookworm's.
    pub const OLDEST: Self = Self::new(1, 34);
    /// The newest that we announce. 1.38 adds an exchange of feature lists, which we do not need, so a
    /// newer daemon is answered with this.
    pub const NEWEST: Self = Self::new(1, 37);
    /// From this minor number on it is a `guix-daemon`, whose numbers grew apart from Nix's.
    const FIRST_GUIX_MINOR: u64 = 0x60;

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

    /// Whether a daemon that announces this is a `guix-daemon`.
    pub const fn is_guix(self) -> bool {
        self.minor() >= Self::FIRST_GUIX_MINOR
    }

    /// The version to speak with a Nix daemon that announces `self`; an error says why there is none.
    pub(crate) fn negotiate(self) -> Result<Self, &'static str> {
        if self.is_guix() {
            return Err("it is a guix-daemon, and only nix-daemon is known");
        }
        if self.major() != Self::NEWEST.major() {
            return Err("the major version is not 1");
        }
        if self < Self::OLDEST {
            return Err("it is older than 1.34 (Nix 2.8)");
        }
        Ok(self.min(Self::NEWEST))
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
        assert_eq!(ProtocolVersion::new(1, 38).negotiate(), Ok(ProtocolVersion::NEWEST));
    }

    #[test]
    fn old_foreign_and_guix_versions_are_refused() {
        assert!(ProtocolVersion::new(1, 33).negotiate().is_err());
        assert!(ProtocolVersion::new(2, 40).negotiate().is_err());
        assert!(ProtocolVersion::from_wire(0x164).negotiate().is_err_and(|why| why.contains("guix")));
    }

    #[test]
    fn a_version_reads_as_people_write_it() {
        assert_eq!(ProtocolVersion::from_wire(0x122).to_string(), "1.34");
    }
}
