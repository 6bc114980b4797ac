//! What was set aside, and what administrators make of it.

use drover_messages::ClientId;
use drover_messages::query::StateName;
use drover_nats::permissions::Who;
use drover_tests::{FakeAgent, Farm, Options, Recipe};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// What `drover dead list` has, when it is so many.
async fn until_dead(farm: &Farm, messages: usize) -> Vec<serde_json::Value> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let told = farm.told(&["dead", "list", "--json"]).await;
        let dead: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if dead.len() == messages {
            return dead;
        }
        assert!(tokio::time::Instant::now() < deadline, "{dead:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_nobody_could_read_is_listed_shown_sent_again_and_thrown_away() {
    let Some(mut farm) = Farm::without_stores(Options::default()).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    farm.submit_recipes(&[&Recipe::new("rubbish", &[])]).await;
    let offer = agent.offer().await;
    assert_eq!(farm.told(&["dead", "list"]).await, "Nothing was set aside.\n");
    agent.send_rubbish(&offer, b"no message of Drover's").await;

    let dead = until_dead(&farm, 1).await.remove(0);
    assert_eq!((&dead["stream"], &dead["came_on"]), (&"RES".into(), &format!("res.{}.{}", agent.id, offer.build).into()));
    assert!(dead["reason"].as_str().unwrap().contains("not a readable message"), "{dead}");
    let number = dead["number"].to_string();
    let shown: serde_json::Value = serde_json::from_str(&farm.told(&["dead", "show", &number]).await).unwrap();
    assert_eq!(shown["message"], "no message of Drover's");

    // The scheduler understands it as little as before.
    assert_eq!(farm.told(&["dead", "retry", &number]).await, "1 message sent again.\n");
    let again = until_dead(&farm, 1).await.remove(0);
    assert!(again["number"].as_u64() > dead["number"].as_u64(), "{again}");
    assert_eq!(farm.told(&["dead", "drop", &again["number"].to_string()]).await, "1 message thrown away.\n");
    assert_eq!(farm.told(&["dead", "list"]).await, "Nothing was set aside.\n");
    for unknown in [&number, "99"] {
        let gone = farm.drover(&["dead", "drop", unknown]).await;
        assert_eq!(gone.status.code(), Some(2), "{gone:?}");
        let said = format!("drover: {unknown}: no message that was set aside has this number\n");
        assert_eq!((String::from_utf8_lossy(&gone.stderr).as_ref(), gone.stdout.as_slice()), (said.as_str(), &b""[..]));
    }
    farm.until_why(offer.build, |why| why.build.state == StateName::Leased).await;
}

#[tokio::test]
async fn who_is_no_administrator_decides_nothing_about_what_was_set_aside() {
    let Some(mut farm) = Farm::without_stores(Options::default()).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    farm.submit_recipes(&[&Recipe::new("rubbish", &[])]).await;
    let offer = agent.offer().await;
    agent.send_rubbish(&offer, b"rubbish").await;
    let number = until_dead(&farm, 1).await[0]["number"].to_string();
    let other = farm.nats.login(Who::Client(ClientId::new())).await;
    let password = farm.folder.password_file(&other);
    let as_other = ["--login", &other.user, "--login-password-file", password.to_str().unwrap()];
    for words in [&["dead", "list"][..], &["dead", "drop", &number]] {
        let output = farm.drover(&[words, &as_other].concat()).await;
        assert!(!output.status.success(), "{output:?}");
    }
    until_dead(&farm, 1).await;
}
