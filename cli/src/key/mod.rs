//! `drover key`: the keys that substitutes are signed with, in Nix's own format and in Guix's, and what those must do who
//! are to accept what they signed.

mod hint;
mod half;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use drover_store::{SecretKey, guix};
use drover_substituter::{Server, ServerUrl};

use crate::exit::{Exit, bad_input};
use half::PublicHalf;

/// The largest key file, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 64 << 10;

/// Make a signing key, show the public half of one, or say how others come to trust it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key: writes the secret to a new file, prints the public half
    #[command(allow_missing_positional = true)]
    Generate {
        /// Make a key of Guix's kind, as guix archive --generate-key does; else it is of Nix's kind
        #[arg(long)]
        guix: bool,
        /// What its signatures are called, such as cache.example.org-1; keys of Guix have no name
        #[arg(value_name = "NAME", required_unless_present = "guix")]
        name: Option<String>,
        /// Where to write the secret; nothing may be there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the public half of a key: what goes into trusted-public-keys, or to guix archive --authorize
    Show {
        /// The file with the secret
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print what must be done on a machine so that it accepts what a key signed
    AuthorizeHint {
        /// A file with either half of the key, or the address of a cache: http://cache.example.org/gnu-store
        #[arg(value_name = "FILE-or-URL")]
        of: String,
    },
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Generate { guix: true, file, .. } => {
            let key = guix::SecretKey::generate();
            write(file, &key.to_file())?;
            print!("{}", PublicHalf::Guix(key.public()));
        }
        Command::Generate { name, file, .. } => {
            let name = name.as_deref().unwrap_or_default();
            let key = SecretKey::generate(name).map_err(|error| bad_input(error.to_string()))?;
            write(file, &key.to_file())?;
            print!("{}", PublicHalf::Nix(vec![key.public()]));
        }
        Command::Show { file } => print!("{}", read(file)?),
        Command::AuthorizeHint { of } => print!("{}", hint(of)?),
    }
    Ok(Exit::Success.into())
}

fn hint(of: &str) -> anyhow::Result<String> {
    if !of.contains("://") {
        return Ok(hint::words(&read(Path::new(of))?, None));
    }
    let url: ServerUrl = of.parse().map_err(|error| bad_input(format!("{error}")))?;
    let server = Server::new(url)?;
    let keys = crate::runtime()?.block_on(server.public_keys())?;
    let keys = keys.ok_or_else(|| bad_input(format!("{of} does not tell its keys; ask whoever runs it")))?;
    let keys = PublicHalf::parse(&keys).map_err(|error| bad_input(format!("{of}: {error}")))?;
    Ok(hint::words(&keys, Some(server.url().as_str())))
}

fn write(path: &Path, secret: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(secret.as_bytes()));
    written.map_err(|error| bad_input(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> anyhow::Result<PublicHalf> {
    let refuse = |error: &dyn std::fmt::Display| bad_input(format!("{}: {error}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| refuse(&error))?;
    let mut file = std::io::Read::take(file, MAX_KEY_FILE_BYTES);
    std::io::Read::read_to_string(&mut file, &mut text).map_err(|error| refuse(&error))?;
    PublicHalf::parse(&text).map_err(|error| refuse(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_read_again_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = SecretKey::generate("cache-1").unwrap();
        write(&path, &key.to_file()).unwrap();
        assert_eq!(read(&path).unwrap().to_string(), format!("{}\n", key.public()));
        assert!(write(&path, "another").is_err());
        assert!(key.public().to_string().starts_with("cache-1:"));
    }

    #[test]
    fn a_name_is_needed_for_nix_only() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let parses = |words: &[&str]| <Line as clap::Parser>::try_parse_from(["key", "generate"].iter().chain(words)).is_ok();
        for good in [&["name", "file"][..], &["--guix", "file"], &["--guix", "name", "file"]] {
            assert!(parses(good), "{good:?}");
        }
        for bad in [&["file"][..], &["--guix"]] {
            assert!(!parses(bad), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_cache_tells_its_keys() {
        let cache = tempfile::tempdir().unwrap();
        let key = guix::SecretKey::generate().public();
        std::fs::write(cache.path().join("signing-key.pub"), key.to_string()).unwrap();
        let url = format!("file://{}", cache.path().display());
        let words = tokio::task::spawn_blocking(move || hint(&url)).await.unwrap().unwrap();
        assert!(words.contains(&key.to_string()) && words.contains("--substitute-urls='file://"), "{words}");
    }
}
