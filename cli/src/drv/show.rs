//! `drover drv show FILE`: a derivation as JSON, in the shape of `nix derivation show`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use drover_store::{Derivation, DrvPath, Output, StoreDir};
use serde_json::{Map, Value, json};

use super::read;
use crate::exit::{Exit, bad_input};

/// Show a derivation as JSON, in the shape of `nix derivation show`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A .drv
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs it.
pub(super) fn run(args: &Args, store: Option<&StoreDir>) -> anyhow::Result<ExitCode> {
    let file = args.file.display();
    let aterm = read(&args.file).map_err(|e| bad_input(format!("cannot read {file}: {e}")))?;
    let store = store.cloned().or_else(|| Derivation::guess_store_dir(&aterm)).unwrap_or_else(StoreDir::nix);
    let drv = Derivation::parse(&store, &aterm).map_err(|e| bad_input(format!("{file} is not a derivation of {store}: {e}")))?;
    let shown = json!({ name(&args.file, &store): to_json(&drv, &store) });
    // A reader that is gone, such as `head`, is no reason to fail.
    let _ = writeln!(std::io::stdout().lock(), "{shown:#}");
    Ok(Exit::Success.into())
}

/// The path that the derivation has in its store, by the file's name; else the file's name.
fn name(file: &Path, store: &StoreDir) -> String {
    let base = file.file_name().unwrap_or_default().to_string_lossy();
    base.parse::<DrvPath>().map_or_else(|_| base.into_owned(), |path| store.path(&path))
}

fn to_json(drv: &Derivation, store: &StoreDir) -> Value {
    let outputs: Map<String, Value> =
        drv.outputs.iter().map(|(name, output)| (name.to_string(), output_json(output, store))).collect();
    let input_drvs: Map<String, Value> =
        drv.input_drvs.iter().map(|(path, outputs)| (store.path(path), json!(outputs))).collect();
    let env: Map<String, Value> = drv.env.iter().map(|(name, value)| (lossy(name), lossy(value).into())).collect();
    json!({
        "outputs": outputs,
        "inputSrcs": drv.input_srcs.iter().map(|path| store.path(path)).collect::<Vec<_>>(),
        "inputDrvs": input_drvs,
        "system": drv.system,
        "builder": lossy(&drv.builder),
        "args": drv.args.iter().map(|arg| lossy(arg)).collect::<Vec<_>>(),
        "env": env,
    })
}

fn output_json(output: &Output, store: &StoreDir) -> Value {
    let mut shown = json!({ "path": store.path(&output.path) });
    if let Some(fixed) = output.fixed {
        shown["hashAlgo"] = fixed.method_algo().into();
        shown["hash"] = fixed.digest.to_hex().into();
    }
    shown
}

/// JSON has no bytes.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
