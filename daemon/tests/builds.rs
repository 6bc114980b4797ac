//! What `nix-daemon` can and others cannot: build without a `.drv` in its store. What all do alike is in `contract`.

mod support;

use drover_daemon::{BuildStatus, StoreDaemon};
use support::{Lab, build, shell};

#[tokio::test]
async fn a_build_needs_no_drv_in_its_store() {
    let (Some(there), Some(here)) = (Lab::start(&[]), Lab::start(&[])) else { return };
    let (drv, derivation) = there.instantiate(&shell("far", r#"outputs = [ "out" "doc" ];"#, "echo a > $out; echo b > $doc"));
    let mut connection = here.connect().await;
    let (outcome, _) = build(&mut connection, &drv, &derivation).await;
    let result = outcome.unwrap();
    assert_eq!(result.status, BuildStatus::Built, "{}", result.message);
    for output in derivation.outputs.values() {
        assert!(connection.is_valid(&output.path).await.unwrap());
    }
    assert!(!connection.is_valid(&drv).await.unwrap());
}
