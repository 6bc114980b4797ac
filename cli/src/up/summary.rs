//! What `drover up` says when the farm runs, and `farm.json`, which tells the other commands the same.

use drover_nats::server::{ServerConf, server_conf};
use drover_store::Family;
use uuid::Uuid;

use super::key;
use super::plans::{Facts, NATS_CONF};
use super::stores::Store;
use crate::farm::{self, Farm, FarmStore};
use crate::human;

/// Writes what others read: the broker's configuration, `farm.json`, `cache-url`, `guix-cache-url`.
pub(crate) fn write_files(facts: &Facts) -> anyhow::Result<()> {
    let folder = facts.folder;
    let conf = ServerConf { listen: facts.addresses.nats.to_string(), monitor: None, store_dir: folder.path("nats") };
    folder.write(NATS_CONF, &server_conf(&conf))?;
    for store in &facts.stores {
        let file = match store.dir.family() {
            Family::Nix => "cache-url",
            Family::Guix => "guix-cache-url",
        };
        folder.write(file, &format!("{}\n", facts.cache_url(&store.dir)))?;
    }
    folder.write(farm::FILE, &format!("{}\n", serde_json::to_string_pretty(&farm(facts)?)?))
}

fn farm(facts: &Facts) -> anyhow::Result<Farm> {
    let up = &facts.logins.up;
    let store = |store: &Store| FarmStore {
        store_dir: store.dir.clone(),
        cache_url: facts.cache_url(&store.dir),
        daemon_socket: store.daemon_socket.clone(),
    };
    Ok(Farm {
        nats_url: facts.nats_url(),
        bucket: facts.bucket(),
        stores: facts.stores.iter().map(store).collect(),
        only: None,
        uuid: up.user.parse::<Uuid>()?,
        password_file: facts.folder.path(&up.password_file),
    })
}

/// The words.
pub(crate) fn words(facts: &Facts, usual_dir: bool) -> String {
    let dir = facts.folder.dir().display();
    let here = if usual_dir { String::new() } else { format!("export DROVER_FARM={dir}\n                ") };
    let substitutes: String = shown(facts).into_iter().map(|store| substitutes(facts, store)).collect();
    format!(
        "The farm runs.\n\
         \n\
         broker          {nats}\n\
         agents          {agents}\n\
         files and logs  {dir}\n\
         \n\
         {substitutes}\
         to build        {here}drover build --wait {drv}\n\
         to look         drover list; drover agent list\n\
         to stop         Ctrl-C here, or: kill {pid}\n",
        nats = facts.nats_url(),
        agents = agents(facts),
        drv = shown(facts).iter().map(|store| format!("{}/….drv", store.dir)).collect::<Vec<_>>().join(", or "),
        pid = std::process::id(),
    )
}

/// The stores that a person on this machine is likely to ask for: those with a daemon here, if there are any.
fn shown<'a>(facts: &'a Facts) -> Vec<&'a Store> {
    let here: Vec<&Store> = facts.stores.iter().filter(|store| store.daemon_socket.is_some()).collect();
    if here.is_empty() { facts.stores.iter().collect() } else { here }
}

fn agents(facts: &Facts) -> String {
    let on = |store: &Store| {
        let socket = store.daemon_socket.as_ref().filter(|_| store.agents > 0)?;
        Some(format!("{} on {}", human::count(store.agents as u64, "agent"), socket.display()))
    };
    let here: Vec<String> = facts.stores.iter().filter_map(on).collect();
    if !here.is_empty() {
        return here.join("\n                ");
    }
    let flags = |store: &Store| {
        format!(
            "\n                --nats-url {} --bucket {} --store-dir {} --substitute-url {}",
            facts.nats_url(),
            facts.bucket(),
            store.dir,
            facts.cache_url(&store.dir)
        )
    };
    let flags: Vec<String> = facts.stores.iter().map(flags).collect();
    format!("none here. Make a login by `drover agent new`, and start drover-agent with it{}", flags.join(", or"))
}

/// What a client must do to get what was built.
fn substitutes(facts: &Facts, store: &Store) -> String {
    let url = facts.cache_url(&store.dir);
    match store.dir.family() {
        Family::Nix => format!(
            "for Nix         {url}\n\
             signed by       {key}\n\
             to fetch        in nix.conf: extra-substituters = {url}\n                \
                             and:         extra-trusted-public-keys = {key}\n\n",
            key = facts.public_key,
        ),
        Family::Guix => format!(
            "for Guix        {url}\n\
             to trust it     guix archive --authorize < {key}\n                \
                             as root, on each machine that fetches or builds, this one too\n\
             to fetch        guix build --substitute-urls='{url}' …\n\n",
            key = facts.folder.path(key::GUIX_PUBLIC).display(),
        ),
    }
}
