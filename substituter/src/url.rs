//! Where a server is: `https://`, `http://`, or `file://` for a folder that looks like one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// The longest URL of a server, in bytes.
const MAX_URL_BYTES: usize = 1024;

/// The URL of a substitute server, without a slash at its end, so that two ways to write one are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerUrl(String);

/// A text that is no server's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not the URL of a substitute server: {why}")]
pub struct BadUrl {
    url: String,
    why: String,
}

impl ServerUrl {
    /// As it was written, without slashes at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder, where it is one.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        Url::parse(&self.0).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
    }

    /// Where something is that the server names by `relative`, which may be a whole URL of the web.
    pub(crate) fn join(&self, relative: &str) -> Option<Url> {
        let base = Url::parse(&format!("{}/", self.0)).ok()?;
        let url = base.join(relative).ok()?;
        // A server of the web has no say about the files of this machine.
        (url.scheme() == base.scheme() || base.scheme() != "file" && url.scheme() != "file").then_some(url)
    }
}

impl FromStr for ServerUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let refuse = |why: &str| BadUrl { url: text.chars().take(200).collect(), why: why.into() };
        if text.len() > MAX_URL_BYTES {
            return Err(refuse("it is longer than 1024 bytes"));
        }
        let trimmed = text.trim_end_matches('/');
        let url = Url::parse(trimmed).map_err(|error| refuse(&error.to_string()))?;
        match url.scheme() {
            _ if url.query().is_some() || url.fragment().is_some() => Err(refuse("it has a ? or a # in it")),
            "http" | "https" => Ok(Self(trimmed.into())),
            "file" if url.to_file_path().is_ok() => Ok(Self(trimmed.into())),
            "file" => Err(refuse("it names no folder of this machine")),
            _ => Err(refuse("it begins with neither https://, http:// nor file://")),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn slashes_at_the_end_do_not_make_another_server() {
        assert_eq!(server("https://ci.guix.gnu.org/"), server("https://ci.guix.gnu.org"));
        assert_eq!(server("file:///srv/cache//").as_str(), "file:///srv/cache");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for bad in ["", "cache.nixos.org", "ftp://x", "s3://bucket", "https://x/?priority=1", "file:relative#"] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_a_narinfo_names_is_found_below_the_server() {
        let join = |base: &str, relative: &str| server(base).join(relative).map(String::from);
        assert_eq!(join("http://h/nix-store", "nar/x.nar.zst").as_deref(), Some("http://h/nix-store/nar/x.nar.zst"));
        assert_eq!(join("http://h", "https://cdn/x").as_deref(), Some("https://cdn/x"));
        assert_eq!(join("http://h", "file:///etc/passwd"), None);
        assert_eq!(join("file:///srv", "http://h/x"), None);
    }
}
