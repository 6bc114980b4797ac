//! Whether a substitute server can be reached from here. What it has, and what it is worth, is not asked.

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take to let us in.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Knocks at a server.
///
/// # Errors
/// With the reason, in words.
pub async fn knock(url: &str) -> Result<(), String> {
    if let Some(folder) = url.strip_prefix("file://") {
        let folder = folder.split('?').next().unwrap_or(folder);
        return if Path::new(folder).is_dir() { Ok(()) } else { Err(format!("there is no folder {folder}")) };
    }
    let Some((host, port)) = address(url) else { return Ok(()) };
    match timeout(TIMEOUT, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{url} cannot be reached: {error}")),
        Err(_) => Err(format!("{url} did not answer within {} s", TIMEOUT.as_secs())),
    }
}

/// Where to knock, for a server on a network.
fn address(url: &str) -> Option<(String, u16)> {
    let (rest, port) = match url.split_once("://")? {
        ("http", rest) => (rest, 80),
        ("https", rest) => (rest, 443),
        _ => return None,
    };
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority.rsplit('@').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => Some((unbracketed(host), port.parse().ok()?)),
        _ => Some((unbracketed(authority), port)),
    }
}

fn unbracketed(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_server_is_read_from_its_url() {
        let cases = [
            ("http://127.0.0.1:8080/nix-store", Some(("127.0.0.1", 8080))),
            ("http://cache.example?priority=1", Some(("cache.example", 80))),
            ("https://user@cache.example/x", Some(("cache.example", 443))),
            ("http://[::1]:81/", Some(("::1", 81))),
            ("http://[::1]/", Some(("::1", 80))),
            ("file:///somewhere", None),
        ];
        for (url, expected) in cases {
            assert_eq!(address(url), expected.map(|(host, port)| (host.to_owned(), port)), "{url}");
        }
    }

    #[tokio::test]
    async fn a_folder_is_reached_when_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}", dir.path().display());
        knock(&url).await.unwrap();
        knock(&format!("{url}?secret-key=x")).await.unwrap();
        assert!(knock(&format!("{url}/nowhere")).await.unwrap_err().contains("no folder"));
    }
}
