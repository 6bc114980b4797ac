//! A derivation that cannot be built.

use drover_messages::query::StateName;
use drover_tests::Farm;

#[tokio::test]
async fn a_failing_build_keeps_its_log_and_blocks_its_dependents_by_name() {
    let Some(farm) = Farm::start(1).await else { return };
    let drv = farm.instantiate("failing", &[]);
    let ended = farm.build(&[&drv]).await;
    assert_eq!(ended.code, 1, "{}", ended.said);
    for words in ["bad failed", "before it broke", "middle", "top"] {
        assert!(ended.said.contains(words), "{words}: {}", ended.said);
    }

    let builds = farm.summaries(ended.submission).await;
    let named = |name: &str| builds.iter().find(|build| build.drv.name_without_drv() == name).unwrap();
    let (bad, top) = (named("bad"), named("top"));
    let states = ["bad", "middle", "top", "aside"].map(|name| named(name).state);
    use StateName::{Blocked, Failed, Succeeded};
    assert_eq!(states, [Failed, Blocked, Blocked, Succeeded]);
    assert_eq!((top.blocked_by, named("middle").blocked_by), (Some(bad.build), Some(bad.build)));

    let log = farm.drover(&["logs", &bad.build.to_string()]).await;
    assert_eq!(String::from_utf8_lossy(&log.stdout), "before it broke\n");
    let shown = farm.drover(&["show", &top.build.to_string()]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("blocked by  {}", bad.build)), "{shown}");
    let listed = farm.drover(&["list", "--json", "--state", "blocked"]).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    let rows: Vec<serde_json::Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2, "{listed}");
    assert!(rows.iter().all(|row| row["blocked_by"] == bad.build.to_string()), "{listed}");
}
