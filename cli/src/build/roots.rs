//! What the user named on the command line, as typed values, or an error that says how to name it right.

use std::collections::BTreeMap;

use drover_messages::request::{MAX_ROOTS, MAX_TAG_BYTES, MAX_TAGS};
use drover_store::{DrvPath, Family, StoreDir};

use crate::exit::bad_input;

/// Derivations to build, all of one store directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    /// Where they live.
    pub(crate) store_dir: StoreDir,
    /// Each once, in the order they were named.
    pub(crate) drvs: Vec<DrvPath>,
}

/// Reads the paths of derivations. Without a store directory they say themselves where they live.
pub(crate) fn parse(arguments: &[String], store_dir: Option<StoreDir>) -> anyhow::Result<Roots> {
    let store_dir = match store_dir {
        Some(store_dir) => store_dir,
        None => guess_store_dir(arguments)?,
    };
    let mut drvs = Vec::new();
    for argument in arguments {
        let drv = parse_one(&store_dir, argument)?;
        if !drvs.contains(&drv) {
            drvs.push(drv);
        }
    }
    if drvs.len() > MAX_ROOTS {
        return Err(bad_input(format!("{} derivations are too many for one submission: at most {MAX_ROOTS}", drvs.len())));
    }
    Ok(Roots { store_dir, drvs })
}

fn guess_store_dir(arguments: &[String]) -> anyhow::Result<StoreDir> {
    let first = arguments.first().map(String::as_str).unwrap_or_default();
    let dir = first.rsplit_once('/').map(|(dir, _)| dir).filter(|dir| dir.starts_with('/'));
    dir.and_then(|dir| dir.parse().ok()).ok_or_else(|| not_whole(first))
}

fn parse_one(store_dir: &StoreDir, argument: &str) -> anyhow::Result<DrvPath> {
    if let Some((drv, outputs)) = argument.split_once(['^', '!']) {
        return Err(bad_input(format!(
            "{argument}: outputs cannot be chosen, a derivation is built with all of them: leave out {outputs:?} and name {drv}"
        )));
    }
    if !argument.starts_with('/') {
        return Err(not_whole(argument));
    }
    let path = store_dir.parse(argument).map_err(|error| bad_input(format!("{argument} is no path in {store_dir}: {error}")))?;
    let (evaluate, query) = match store_dir.family() {
        Family::Nix => ("nix-instantiate", "nix-store --query --deriver"),
        Family::Guix => ("guix build --derivations", "guix gc --derivers"),
    };
    DrvPath::try_from(path).map_err(|_| {
        bad_input(format!(
            "{argument} is not a derivation: name the .drv file, as `{evaluate}` prints it, or `{query} {argument}`"
        ))
    })
}

fn not_whole(argument: &str) -> anyhow::Error {
    bad_input(format!(
        "{argument:?} is no path in a store: name the .drv file by its whole path, such as /nix/store/…-hello.drv or /gnu/store/…-hello.drv"
    ))
}

/// One `--tag k=v`, for clap.
pub(crate) fn parse_tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a tag has the form key=value")?;
    if key.is_empty() {
        return Err("the key of a tag is not empty".into());
    }
    if key.len() > MAX_TAG_BYTES || value.len() > MAX_TAG_BYTES {
        return Err(format!("the key and the value of a tag have at most {MAX_TAG_BYTES} bytes each"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// The tags as a submission has them.
pub(crate) fn tags(tags: &[(String, String)]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for (key, value) in tags {
        if all.insert(key.clone(), value.clone()).is_some_and(|old| old != *value) {
            return Err(bad_input(format!("the tag {key:?} is given twice, with different values")));
        }
    }
    if all.len() > MAX_TAGS {
        return Err(bad_input(format!("a submission has at most {MAX_TAGS} tags")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "/nix/store/0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello.drv";

    fn parsed(arguments: &[&str]) -> anyhow::Result<Roots> {
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.to_string()).collect();
        parse(&arguments, None)
    }

    fn refused(arguments: &[&str]) -> String {
        let error = parsed(arguments).unwrap_err();
        assert_eq!(crate::exit::of_error(&error), crate::exit::Exit::BadInput);
        error.to_string()
    }

    #[test]
    fn a_derivation_says_which_store_it_is_of_and_counts_once() {
        let roots = parsed(&[HELLO, HELLO]).unwrap();
        assert_eq!(roots.store_dir, StoreDir::nix());
        assert_eq!(roots.drvs.len(), 1);
    }

    #[test]
    fn outputs_cannot_be_chosen() {
        assert!(refused(&[&format!("{HELLO}^out")]).contains("leave out \"out\""));
        assert!(refused(&[&format!("{HELLO}!dev")]).contains("leave out \"dev\""));
    }

    #[test]
    fn what_is_no_derivation_is_refused_with_what_to_name_instead() {
        assert!(refused(&["/nix/store/0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello"]).contains("is not a derivation"));
        assert!(refused(&["/gnu/store/0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello"]).contains("`guix gc --derivers /gnu/store/"));
        assert!(refused(&["./hello.drv"]).contains("whole path"));
        assert!(refused(&["hello.drv"]).contains("whole path"));
        assert!(refused(&["/nix/store/short-hello.drv"]).contains("is no path in /nix/store"));
    }

    #[test]
    fn derivations_of_two_stores_are_refused() {
        let other = HELLO.replace("/nix/", "/gnu/");
        assert!(refused(&[HELLO, &other]).contains("is no path in /nix/store"));
    }

    #[test]
    fn a_tag_has_a_key_and_may_have_an_empty_value() {
        assert_eq!(parse_tag("why=a=b"), Ok(("why".into(), "a=b".into())));
        assert_eq!(parse_tag("why="), Ok(("why".into(), String::new())));
        assert!(parse_tag("why").is_err());
        assert!(parse_tag("=why").is_err());
        assert!(parse_tag(&format!("why={}", "x".repeat(MAX_TAG_BYTES + 1))).is_err());
    }

    #[test]
    fn a_tag_with_two_values_is_refused() {
        let pair = |value: &str| ("why".to_owned(), value.to_owned());
        assert!(tags(&[pair("a"), pair("b")]).is_err());
        assert_eq!(tags(&[pair("a"), pair("a")]).unwrap().len(), 1);
    }
}
