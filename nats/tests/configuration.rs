//! nats-server's own opinion on the configurations that we write.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use drover_nats::logins::Logins;
use drover_nats::permissions::Who;
use drover_nats::server::{ServerConf, find, server_conf};

/// What `nats-server -t` says; `None`, said aloud, where there is none.
fn check(conf: &Path) -> Option<Result<(), String>> {
    let Some(program) = find() else {
        eprintln!("SKIPPED: no nats-server here; run setup/install, or set DROVER_NATS_SERVER");
        return None;
    };
    let output = Command::new(program).arg("-t").arg("-c").arg(conf).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status.success() { Ok(()) } else { Err(said) })
}

#[test]
fn the_deployed_configuration_starts_as_it_is() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("nats-server.conf");
    let Some(verdict) = check(&conf) else { return };
    assert_eq!(verdict, Ok(()));
}

#[test]
fn a_farms_configuration_is_accepted_with_every_kind_of_login() {
    let folder = tempfile::tempdir().unwrap();
    let mut logins = Logins::open(&folder.path().join("logins")).unwrap();
    let id = uuid::Uuid::now_v7();
    let everybody = [
        Who::of(drover_messages::admin::Role::Agent, id),
        Who::of(drover_messages::admin::Role::Client, uuid::Uuid::now_v7()),
        Who::of(drover_messages::admin::Role::Admin, uuid::Uuid::now_v7()),
        Who::Scheduler,
        Who::Publish,
        Who::Hook("retry".parse().unwrap()),
        Who::System,
    ];
    for who in everybody {
        logins.add(who, "name with \"quotes\", { braces } and $VARIABLES").unwrap();
    }
    let conf = folder.path().join("nats-server.conf");
    let text = server_conf(&ServerConf { listen: "127.0.0.1:1".into(), monitor: None, store_dir: folder.path().join("a store") });
    std::fs::write(&conf, &text).unwrap();
    let Some(verdict) = check(&conf) else { return };
    assert_eq!(verdict, Ok(()));

    std::fs::write(&conf, text.replace("accounts {", "accounts { oops ")).unwrap();
    assert!(check(&conf).unwrap().is_err(), "the check can say no");
}
