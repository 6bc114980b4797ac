//! Collections of garbage at the worst of times.

use std::os::unix::fs::symlink;

use drover_daemon::{BuildMode, BuildStatus, StoreDaemon};

use crate::support::{Lab, Made, Plan};
use crate::watched::watch;

/// A derivation and one that needs it, the first built, both in the store while nothing keeps them.
async fn loose_pair(lab: &Lab) -> [Made; 2] {
    let mut connection = lab.connect().await;
    let input = Plan::new("input", "echo input > $out").make(lab);
    input.add(&mut connection).await;
    watch(&mut connection, &input, &[], BuildMode::Normal).await.ended(BuildStatus::Built);
    let needs = Plan::new("needs", "cat $input > $out").input("input", &input).make(lab);
    needs.add(&mut connection).await;
    [input, needs]
}

pub async fn between_set_up_and_build(lab: &Lab) {
    let [input, needs] = loose_pair(lab).await;
    let mut connection = lab.connect().await;
    for path in [input.out(), needs.drv.as_ref()] {
        connection.add_temp_root(path).await.unwrap();
        assert!(connection.is_valid(path).await.unwrap());
    }
    lab.collect_garbage();
    watch(&mut connection, &needs, &[&input], BuildMode::Normal).await.ended(BuildStatus::Built);
    drop(connection);

    // Without roots the collection takes them, which is nobody's failure.
    let mut connection = lab.connect().await;
    gone(lab, needs.out()).await;
    gone(lab, input.out()).await;
    needs_its_input(&mut connection, &needs, &input).await;
}

async fn needs_its_input(connection: &mut drover_daemon::Connection, needs: &Made, input: &Made) {
    let watched = watch(connection, needs, &[input], BuildMode::Normal).await;
    match &watched.result {
        Ok(result) => assert_eq!(result.status, BuildStatus::MiscFailure, "{}", result.message),
        Err(error) => assert!(matches!(error, drover_daemon::DaemonError::Daemon(_)), "{error:?}"),
    }
    assert!(connection.is_usable());
}

/// Collects until a path is gone: what a connection kept is kept until its process has ended.
async fn gone(lab: &Lab, path: &drover_store::StorePath) {
    crate::support::until("the path is collected", || {
        lab.collect_garbage();
        !lab.file(path).exists()
    })
    .await;
}

pub async fn between_build_and_upload(lab: &Lab) {
    let mut connection = lab.connect().await;
    let made = Plan::new("kept", "echo kept > $out").make(lab);
    made.add(&mut connection).await;
    connection.add_temp_root(made.out()).await.unwrap();
    watch(&mut connection, &made, &[], BuildMode::Normal).await.ended(BuildStatus::Built);
    lab.collect_garbage();
    assert!(lab.file(made.out()).exists(), "a temporary root keeps what was just built");

    let link = lab.scratch().join("link");
    symlink(lab.store_dir().path(made.out()), &link).unwrap();
    connection.add_indirect_root(&link).await.unwrap();
    drop(connection);
    for _ in 0..2 {
        lab.collect_garbage();
        assert!(lab.file(made.out()).exists(), "a link keeps it when the connection is gone");
    }
    std::fs::remove_file(&link).unwrap();
    gone(lab, made.out()).await;
}
