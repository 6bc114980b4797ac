//! Substitute servers beyond the farm's own, as `drover up` hands them to its agents and to the pool that asks them.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where else substitutes may come from.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Other substitute servers")]
pub(crate) struct Servers {
    /// A substitute server beyond the farm's own: what it has is not built. Can be given several times
    #[arg(long = "extra-substitute-url", value_name = "URL")]
    urls: Vec<String>,
    /// A key that such a server of Nix signs with, as NAME:BASE64; can be given several times
    #[arg(long = "trusted-public-key", value_name = "KEY")]
    trusted_public_keys: Vec<String>,
    /// The keys that such servers of Guix may sign with: the list that guix-daemon trusts
    #[arg(long, value_name = "FILE", default_value = "/etc/guix/acl")]
    guix_acl: PathBuf,
}

impl Servers {
    /// Whether there are any.
    pub(crate) fn are_some(&self) -> bool {
        !self.urls.is_empty()
    }

    /// For the worker of the pool `substitutes`.
    pub(crate) fn for_pool(&self) -> Vec<OsString> {
        let mut args = each("--substitute-url", &self.urls);
        args.extend(each("--trusted-public-key", &self.trusted_public_keys));
        if self.guix_acl.exists() {
            args.extend(["--guix-acl".into(), self.guix_acl.clone().into()]);
        }
        args
    }

    /// For an agent on a Guix daemon, which trusts whom its own list names.
    pub(crate) fn for_guix_agent(&self) -> Vec<OsString> {
        each("--extra-substitute-url", &self.urls)
    }

    /// For an agent on a Nix daemon.
    pub(crate) fn for_nix_agent(&self) -> Vec<OsString> {
        let mut args = each("--extra-substitute-url", &self.urls);
        args.extend(each("--trusted-public-key", &self.trusted_public_keys));
        args
    }
}

fn each(flag: &str, values: &[String]) -> Vec<OsString> {
    values.iter().flat_map(|value| [flag.into(), value.into()]).collect()
}
