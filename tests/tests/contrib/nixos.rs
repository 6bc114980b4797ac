//! The module for NixOS, as Nix evaluates it.

use std::process::Command;

use crate::told::{ours, tree, try_whole};

#[test]
fn each_program_takes_the_command_line_that_the_module_makes() {
    let file = tree("contrib/nixos/commands.nix");
    // It opens no store.
    let evaluated =
        Command::new("nix-instantiate").args(["--eval", "--strict", "--json"]).arg(&file).env("NIX_REMOTE", "dummy://").output();
    let Ok(evaluated) = evaluated else {
        eprintln!("SKIPPED: there is no nix-instantiate here to evaluate the module");
        return;
    };
    assert!(evaluated.status.success(), "{}", String::from_utf8_lossy(&evaluated.stderr));
    let commands: Vec<String> = serde_json::from_slice(&evaluated.stdout).unwrap();
    assert_eq!(commands.iter().filter(|command| ours(command.split(' ').next().unwrap()).is_some()).count(), 5);
    for command in commands {
        try_whole(&command, "contrib/nixos/drover.nix");
    }
}
