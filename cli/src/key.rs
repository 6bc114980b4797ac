//! `drover key`: the keys that substitutes are signed with, in Nix's own format.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use drover_store::SecretKey;

use crate::exit::{Exit, bad_input};

/// Make a signing key, or show the public half of one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key: writes the secret to a new file, prints the public half
    Generate {
        /// What its signatures are called, such as cache.example.org-1
        #[arg(value_name = "NAME")]
        name: String,
        /// Where to write the secret; nothing may be there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the public half of a key: what goes into trusted-public-keys
    Show {
        /// The file with the secret
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let key = match &args.command {
        Command::Generate { name, file } => generate(name, file)?,
        Command::Show { file } => read(file)?,
    };
    println!("{}", key.public());
    Ok(Exit::Success.into())
}

fn generate(name: &str, path: &Path) -> anyhow::Result<SecretKey> {
    let key = SecretKey::generate(name).map_err(|error| bad_input(error.to_string()))?;
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(key.to_file().as_bytes()));
    written.map_err(|error| bad_input(format!("{}: {error}", path.display())))?;
    Ok(key)
}

fn read(path: &Path) -> anyhow::Result<SecretKey> {
    let text = std::fs::read_to_string(path).map_err(|error| bad_input(format!("{}: {error}", path.display())))?;
    SecretKey::parse(&text).map_err(|error| bad_input(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_read_again_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = generate("cache-1", &path).unwrap();
        assert_eq!(read(&path).unwrap().public().to_string(), made.public().to_string());
        assert!(generate("cache-2", &path).is_err());
        assert!(made.public().to_string().starts_with("cache-1:"));
    }
}
