//! What agents report.

use drover_messages::Cause;
use drover_messages::report::{Built, Failed, Outcome, Times, Uploaded, UploadedOutput};
use drover_messages::request::Nar;
use drover_scheduler_core::Recipe;
use drover_store::Sha256;

/// All outputs were made.
pub(super) fn built(recipe: &Recipe, millis: u64) -> Outcome {
    let outputs = recipe.outputs.iter().map(|(name, product)| (name.clone(), product.path.clone())).collect();
    Outcome::Built(Built { outputs, already_valid: false, times: times(millis), log: None })
}

/// They are in the bucket. They refer to nothing, so that their publications wait for no other.
pub(super) fn uploaded(recipe: &Recipe) -> Outcome {
    let hash = Sha256::from_bytes([0; 32]);
    let nar = Nar { key: String::new(), nar_hash: hash, nar_size: 1, file_hash: hash, file_size: 1 };
    let outputs = recipe.outputs.iter().map(|(name, product)| UploadedOutput {
        name: name.clone(),
        path: product.path.clone(),
        references: Vec::new(),
        nar: nar.clone(),
    });
    Outcome::Uploaded(Uploaded { outputs: outputs.collect(), upload_micros: 0 })
}

/// The machine failed.
pub(super) fn failed(millis: u64) -> Outcome {
    let message = "simulated".into();
    Outcome::Failed(Failed { cause: Cause::Killed, message, times: times(millis), log: None, kept: Vec::new() })
}

fn times(millis: u64) -> Times {
    Times { build_micros: millis * 1000, ..Times::default() }
}
