//! What must be done on a machine so that it accepts what a key signed, in words that can be pasted.

use super::half::PublicHalf;

/// Those that Guix asks unasked; naming one more names these too, or they are not asked.
const GUIX_SERVERS: &str = "https://bordeaux.guix.gnu.org https://ci.guix.gnu.org";

/// `url` is where the cache is, if that is known.
pub(crate) fn words(key: &PublicHalf, url: Option<&str>) -> String {
    match key {
        PublicHalf::Guix(key) => {
            let url = url.unwrap_or("http://THE-CACHE/gnu-store");
            format!(
                "# As root, on each machine with Guix that fetches from the farm or builds for it. On Guix System, add the key to\n\
                 # authorized-keys in the configuration of guix-service-type instead, and reconfigure.\n\
                 guix archive --authorize <<'END'\n{key}END\n\
                 \n\
                 # To fetch: name the cache to guix, before others, or to guix-daemon for all users.\n\
                 guix build --substitute-urls='{url} {GUIX_SERVERS}' PACKAGE\n"
            )
        }
        PublicHalf::Nix(keys) => {
            let url = url.unwrap_or("http://THE-CACHE/nix-store");
            let keys = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            format!(
                "# In nix.conf, on each machine with Nix that fetches from the farm; then restart nix-daemon. On NixOS, set\n\
                 # nix.settings.extra-substituters and nix.settings.extra-trusted-public-keys instead.\n\
                 extra-substituters = {url}\n\
                 extra-trusted-public-keys = {keys}\n"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drover_store::{SecretKey, guix};

    #[test]
    fn the_words_hold_the_key_as_its_tool_reads_it() {
        let key = guix::SecretKey::generate().public();
        let words = words(&PublicHalf::Guix(key), None);
        let (_, behind) = words.split_once("guix archive --authorize <<'END'\n").unwrap();
        assert_eq!(behind.split_once("END\n").unwrap().0.parse(), Ok(key));
    }

    #[test]
    fn nix_gets_lines_for_its_configuration() {
        let key = SecretKey::generate("cache-1").unwrap().public();
        let words = words(&PublicHalf::Nix(vec![key.clone()]), Some("http://here/nix-store"));
        assert!(words.contains(&format!("\nextra-substituters = http://here/nix-store\nextra-trusted-public-keys = {key}\n")));
    }
}
