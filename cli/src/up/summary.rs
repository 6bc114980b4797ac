//! What `drover up` says when the farm runs, and `farm.json`, which tells the other commands the same.

use drover_nats::server::{ServerConf, server_conf};
use uuid::Uuid;

use super::first_logins::Known;
use super::folder::Folder;
use super::plans::{Facts, NATS_CONF};
use crate::farm::{self, Farm};
use crate::human;

/// Writes what others read: the broker's configuration, `farm.json`, `cache-url`.
pub(crate) fn write_files(facts: &Facts) -> anyhow::Result<()> {
    let folder = facts.folder;
    let conf = ServerConf { listen: facts.addresses.nats.to_string(), monitor: None, store_dir: folder.path("nats") };
    folder.write(NATS_CONF, &server_conf(&conf))?;
    folder.write("cache-url", &format!("{}\n", facts.cache_url()))?;
    let farm = farm(facts, folder, &facts.logins.up)?;
    folder.write(farm::FILE, &format!("{}\n", serde_json::to_string_pretty(&farm)?))
}

fn farm(facts: &Facts, folder: &Folder, up: &Known) -> anyhow::Result<Farm> {
    Ok(Farm {
        nats_url: facts.nats_url(),
        bucket: facts.bucket(),
        cache_url: facts.cache_url(),
        store_dir: facts.store_dir.clone(),
        daemon_socket: facts.daemon_socket.exists().then(|| facts.daemon_socket.clone()),
        uuid: up.user.parse::<Uuid>()?,
        password_file: folder.path(&up.password_file),
    })
}

/// The words.
pub(crate) fn words(facts: &Facts, usual_dir: bool) -> String {
    let dir = facts.folder.dir().display();
    let here = if usual_dir { String::new() } else { format!("export DROVER_FARM={dir}\n                ") };
    let agents = match facts.logins.agents.len() {
        0 => format!(
            "none here. Make a login by `drover agent new`, and start drover-agent with it\n                {}",
            agent_flags(facts)
        ),
        n => format!("{} on {}", human::count(n as u64, "agent"), facts.daemon_socket.display()),
    };
    format!(
        "The farm runs.\n\
         \n\
         broker          {nats}\n\
         agents          {agents}\n\
         substitutes     {cache}\n\
         signed by       {key}\n\
         files and logs  {dir}\n\
         \n\
         to build        {here}drover build --wait /nix/store/….drv\n\
         to look         drover list; drover agent list\n\
         to stop         Ctrl-C here, or: kill {pid}\n",
        nats = facts.nats_url(),
        cache = facts.cache_url(),
        key = facts.public_key,
        pid = std::process::id(),
    )
}

fn agent_flags(facts: &Facts) -> String {
    format!("--nats-url {} --bucket {} --substitute-url {}", facts.nats_url(), facts.bucket(), facts.cache_url())
}
