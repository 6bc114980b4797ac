//! The public half of a key, of either kind, from whatever a file holds of it.

use std::fmt;

use drover_store::{ParseError, PublicKey, SecretKey, guix};

/// What others need to know of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublicHalf {
    /// One or several that sign together.
    Nix(Vec<PublicKey>),
    Guix(guix::PublicKey),
}

impl PublicHalf {
    /// Of a secret key, or of public ones. They are told apart by what they look like.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        if text.starts_with("(private-key") {
            return guix::SecretKey::parse(text).map(|key| Self::Guix(key.public()));
        }
        if text.starts_with('(') {
            return guix::PublicKey::parse(text).map(Self::Guix);
        }
        // What is no secret key may be shown.
        if let Ok(secret) = SecretKey::parse(text) {
            return Ok(Self::Nix(vec![secret.public()]));
        }
        let keys = text.split_whitespace().map(PublicKey::parse).collect::<Result<Vec<_>, _>>();
        match keys {
            Ok(keys) if !keys.is_empty() => Ok(Self::Nix(keys)),
            _ => SecretKey::parse(text).map(|key| Self::Nix(vec![key.public()])),
        }
    }
}

/// As its kind writes it, with a line's end.
impl fmt::Display for PublicHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nix(keys) => keys.iter().try_for_each(|key| writeln!(f, "{key}")),
            Self::Guix(key) => key.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_half_of_either_kind_gives_the_public_one() {
        let (nix, guix) = (SecretKey::generate("cache-1").unwrap(), guix::SecretKey::generate());
        for text in [nix.to_file(), nix.public().to_string()] {
            assert_eq!(PublicHalf::parse(&text), Ok(PublicHalf::Nix(vec![nix.public()])));
        }
        for text in [guix.to_file(), guix.public().to_string()] {
            assert_eq!(PublicHalf::parse(&text), Ok(PublicHalf::Guix(guix.public())));
        }
        let both = [nix.public(), SecretKey::generate("cache-2").unwrap().public()];
        assert_eq!(PublicHalf::parse(&format!("{}\n{}\n", both[0], both[1])), Ok(PublicHalf::Nix(both.into())));
    }

    #[test]
    fn the_error_of_a_broken_secret_does_not_show_it() {
        let nix = SecretKey::generate("cache-1").unwrap().to_file();
        let error = PublicHalf::parse(&nix[..nix.len() - 4]).unwrap_err().to_string();
        assert!(!error.contains(&nix[10..20]), "{error}");
        assert!(PublicHalf::parse("").is_err());
    }
}
