//! The units for Debian, and the files of variables beside them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::told::{help, ours, tells_of, tree, try_whole};

const FOLDER: &str = "contrib/systemd";

fn files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(tree(FOLDER)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    assert!(!files.is_empty(), "there is no .{extension} in {FOLDER}");
    files.sort();
    files
}

/// Lines that end in a backslash go on in the next.
fn logical_lines(text: &str) -> Vec<String> {
    text.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

fn values(text: &str, key: &str) -> Vec<String> {
    let value = |line: String| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
    logical_lines(text).into_iter().filter_map(value).collect()
}

#[test]
fn each_program_takes_the_command_line_of_its_unit() {
    for file in files("service") {
        for command in values(&fs::read_to_string(&file).unwrap(), "ExecStart") {
            try_whole(&command.replace("%i", "nix"), &file.display().to_string());
        }
    }
}

#[test]
fn each_variable_in_a_file_is_one_that_a_program_which_reads_the_file_knows() {
    let units: Vec<String> = files("service").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for file in files("env") {
        let name = file.file_name().unwrap().to_str().unwrap();
        let reads = |unit: &&String| {
            let files = values(unit, "EnvironmentFile");
            files.iter().any(|read| {
                [read.clone(), read.replace("%i", "nix"), read.replace("%i", "guix")].iter().any(|r| r.ends_with(name))
            })
        };
        let helps: String =
            units.iter().filter(reads).flat_map(|unit| values(unit, "ExecStart")).map(|command| of(&command)).collect();
        for variable in variables(&fs::read_to_string(&file).unwrap()) {
            assert!(tells_of(&helps, &variable), "{name}: {variable} is known to no program that reads it");
        }
    }
}

/// The help of the program that a unit runs.
fn of(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let subcommand: Vec<&str> = words[1..].iter().take_while(|word| !word.starts_with('-')).copied().collect();
    ours(words[0]).map(|name| help(name, &subcommand).1).unwrap_or_default()
}

/// What a file sets, or shows how to set.
fn variables(text: &str) -> Vec<String> {
    let name = |line: &str| Some(line.trim_start_matches('#').split_once('=')?.0.to_owned());
    let names = text.lines().filter_map(name).filter(|name| name.starts_with("DROVER_") && !name.contains(' '));
    names.collect()
}

#[test]
fn systemd_takes_every_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no systemd-analyze here to read the units");
        return;
    }
    // It looks whether the programs are there.
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("bin");
    fs::create_dir(&programs).unwrap();
    for name in crate::told::PROGRAMS.into_iter().chain(["nats-server"]) {
        std::os::unix::fs::symlink("/bin/true", programs.join(name)).unwrap();
    }
    let units = files("service").into_iter().map(|file| {
        let unit = folder.path().join(file.file_name().unwrap());
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&unit, text.replace("/usr/local/bin", programs.to_str().unwrap())).unwrap();
        unit
    });
    let said =
        Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).args(units).output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && words.is_empty(), "{words}");
}
