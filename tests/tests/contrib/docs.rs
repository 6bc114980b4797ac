//! The commands in what users read.

use std::fs;
use std::path::PathBuf;

use crate::told::{PROGRAMS, help, ours, tells_of, tree};

fn pages() -> Vec<PathBuf> {
    let pages = fs::read_dir(tree("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = pages.filter(|path| path.extension().is_some_and(|found| found == "md")).collect();
    pages.sort();
    pages.extend([tree("README.md"), tree("contrib/systemd/README.md")]);
    pages
}

/// The commands of Drover's programs in the shell's blocks of a page, as words; what stands behind a pipe, or in brackets,
/// belongs to another.
fn commands(page: &str) -> Vec<Vec<String>> {
    let blocks = page.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    let lines: Vec<String> =
        blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut commands = Vec::new();
    for line in lines {
        let line = line.split(" #").next().unwrap_or_default().to_owned();
        for part in line.split(['|', ';', '&', '(', ')', '`', '\'']) {
            let words: Vec<String> = part.split_whitespace().map(str::to_owned).collect();
            if let Some(at) = words.iter().rposition(|word| PROGRAMS.contains(&word.as_str())) {
                commands.push(words[at..].to_vec());
            }
        }
    }
    commands
}

fn is_subcommand(word: &str) -> bool {
    !word.starts_with('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// The help of the deepest subcommand that the words name.
fn help_of(words: &[String]) -> String {
    let name = ours(&words[0]).unwrap();
    let named: Vec<&str> = words[1..].iter().map(String::as_str).take_while(|word| is_subcommand(word)).collect();
    (0..=named.len()).rev().map(|len| help(name, &named[..len])).find_map(|(taken, said)| taken.then_some(said)).unwrap()
}

#[test]
fn each_flag_that_a_page_shows_is_one_that_its_program_knows() {
    let mut flags = 0;
    for page in pages() {
        for command in commands(&fs::read_to_string(&page).unwrap()) {
            let help = help_of(&command);
            for flag in command.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap();
                assert!(tells_of(&help, flag), "{}: {}: {flag} is not known", page.display(), command.join(" "));
                flags += 1;
            }
        }
    }
    assert!(flags > 20, "only {flags} flags were found on the pages");
}

#[test]
fn commands_are_found_among_other_words() {
    let page = "x\n```sh\nD=/var/drover foo --bar | runuser -u drover -- drover build --wait X.drv # not --this\nexport A=1; drover-agent \\\n  --uuid=1\n```\n`drover no --such`";
    let found = commands(page);
    assert_eq!(found, [vec!["drover", "build", "--wait", "X.drv"], vec!["drover-agent", "--uuid=1"]]);
}
