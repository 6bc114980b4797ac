//! The service types for Guix, as a real Guix evaluates them.

use std::path::PathBuf;
use std::process::Command;

use crate::told::{ours, tree, try_whole};

/// Runs in a mount namespace of its own, which leaves the root as it is.
const IN_ROOT: &str = r#"
mount --bind "$2" "$1/mnt" && mount -t tmpfs tmpfs "$1/root" && mount -t tmpfs tmpfs "$1/tmp" &&
exec chroot "$1" env -i PATH=/usr/bin:/bin HOME=/root LC_ALL=C.UTF-8 GUILE_AUTO_COMPILE=0 \
    guix repl -L /mnt /mnt/commands.scm"#;

#[test]
fn each_program_takes_the_command_line_that_its_service_makes() {
    let root = std::env::var_os("DROVER_SID_ROOT").map_or_else(|| tree(".cache/sid"), PathBuf::from);
    if !root.join("usr/bin/guix").exists() {
        eprintln!("SKIPPED: there is no Guix in {}: setup/install --with-guix puts one there", root.display());
        return;
    }
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this machine does not let us make mount namespaces");
        return;
    }
    let mut guix = Command::new("unshare");
    guix.args(["--mount", "sh", "-ec", IN_ROOT, "sh"]).arg(&root).arg(tree("contrib/guix"));
    let said = guix.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.lines().filter(|line| ours(line.split(' ').next().unwrap()).is_some()).count(), 5, "{said}");
    for command in said.lines() {
        try_whole(command, "contrib/guix/drover.scm");
    }
}
