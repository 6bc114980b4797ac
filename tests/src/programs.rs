//! Where Drover's programs are: `$DROVER_BIN_DIR`, else beside this test's own target folder.

use std::path::PathBuf;

const BIN_DIR: &str = "DROVER_BIN_DIR";

/// The path of a program.
///
/// # Panics
/// When it was not built.
pub fn program(name: &str) -> PathBuf {
    let program = folder().join(name);
    assert!(program.is_file(), "{} is missing: run cargo build --workspace --bins first", program.display());
    program
}

/// Where the programs are.
pub(crate) fn folder() -> PathBuf {
    if let Some(named) = std::env::var_os(BIN_DIR) {
        return named.into();
    }
    // …/debug/deps/system-0123 → …/debug; …/release/bench → …/release
    let this = std::env::current_exe().expect("the path of this program");
    let folder = this.parent().expect("a target folder");
    match folder.ends_with("deps") {
        true => folder.parent().expect("a target folder").to_owned(),
        false => folder.to_owned(),
    }
}
