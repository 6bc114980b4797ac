//! The keys that the farm's substitutes are signed with, one of each kind: made once, the secrets for the publish workers alone.

use anyhow::Context;
use drover_store::{SecretKey, guix};

use super::folder::Folder;

/// The secret, in Nix's own format.
pub(crate) const SECRET: &str = "signing-key";
/// The secret in Guix's own format.
pub(crate) const GUIX_SECRET: &str = "guix-signing-key";
/// All secrets that a publish worker signs with.
pub(crate) const SECRETS: &[&str] = &[SECRET, GUIX_SECRET];
/// The public half for Guix: what `guix archive --authorize` reads.
pub(crate) const GUIX_PUBLIC: &str = "guix-cache-key.pub";
/// The public half: what goes into `trusted-public-keys`.
pub(crate) const PUBLIC: &str = "cache-key.pub";

/// The public half of the farm's key of Nix's kind. Keys that are missing are made, and all public halves are written.
pub(crate) fn public(folder: &Folder) -> anyhow::Result<String> {
    let name = format!("drover-{}", host_name());
    let made = SecretKey::generate(&name)?;
    let secret = folder.secret(SECRET, || made.to_file())?;
    let key = SecretKey::parse(&secret).with_context(|| folder.path(SECRET).display().to_string())?;
    let public = key.public().to_string();
    folder.write(PUBLIC, &format!("{public}\n"))?;
    folder.write(GUIX_PUBLIC, &guix_public(folder)?.to_string())?;
    Ok(public)
}

fn guix_public(folder: &Folder) -> anyhow::Result<guix::PublicKey> {
    let secret = folder.secret(GUIX_SECRET, || guix::SecretKey::generate().to_file().trim_end().to_owned())?;
    let key = guix::SecretKey::parse(&secret).with_context(|| folder.path(GUIX_SECRET).display().to_string())?;
    Ok(key.public())
}

/// The host's name as a word that a key's name may hold.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let word: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '.').collect();
    if word.is_empty() { "farm".into() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_stay_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let first = public(&folder).unwrap();
        assert!(first.starts_with("drover-"));
        let guix = std::fs::read_to_string(folder.path(GUIX_PUBLIC)).unwrap();
        assert_eq!(public(&folder).unwrap(), first);
        assert_eq!(std::fs::read_to_string(folder.path(GUIX_PUBLIC)).unwrap(), guix);
        assert!(guix.parse::<guix::PublicKey>().is_ok());
        assert_eq!(std::fs::read_to_string(folder.path(PUBLIC)).unwrap().trim_end(), first);
    }
}
